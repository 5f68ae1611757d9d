/** All steps in their order: each continues with what the one before it has left. */
import type tls from "node:tls";
import type { Cidr } from "../../protocol/address.ts";
import { type Ask, askReadyz, askUser, askVersion, exchange } from "./api.ts";
import { secure, type Secured } from "./tls.ts";
import { askForTunnel, isTunnel, openTunnel } from "./connect.ts";
import { failed, type Finding, type Outcome, skipped, type StepName } from "./finding.ts";
import { parseResponse } from "./http.ts";
import { dial, findAddresses, reachProxy } from "./reach.ts";
import { startTls, StepTimeout } from "./sockets.ts";
import type { Reading, Target } from "./target.ts";

/** What a step found, and how long that took. */
export interface Step extends Finding {
  readonly step: StepName;
  /** `null` when it was not tried. */
  readonly durationMs: number | null;
}

const NOT_SENT = "credentials are not sent to a server that is not trusted";

/** How to diagnose. */
export interface Options {
  /** The block in which the proxy's address should lie. */
  readonly cidr: Cidr | undefined;
  /** In milliseconds, for each step. */
  readonly stepTimeoutMs: number;
  /** Gets each step as soon as it is over. */
  readonly onStep: (step: Step) => void;
}

/** Tries each link of the path. It continues after a broken one where possible. */
export async function diagnose({ target, finding }: Reading, options: Options): Promise<Step[]> {
  const steps: Step[] = [];
  const report = (step: StepName, found: Finding, durationMs: number | null = null) => {
    const { result, found: text, next } = found;
    const whole: Step = { step, result, durationMs, found: text, next };
    steps.push(whole);
    options.onStep(whole);
  };
  /** Tries a step within its time; without anything to try, it is skipped. */
  const attempt = async <T>(
    step: StepName,
    needs: string | undefined,
    run: (signal: AbortSignal) => Promise<Outcome<T>>,
  ): Promise<T | undefined> => {
    if (needs !== undefined) return void report(step, skipped(needs));
    const startMs = performance.now();
    const outcome = await withinLimit(options.stepTimeoutMs, run);
    report(step, outcome, Math.round(performance.now() - startMs));
    return outcome.value;
  };

  report("kubeconfig", finding, 0);
  const { proxy } = target;
  const addresses = await attempt(
    "address",
    proxy === undefined ? "there is no proxy to look for" : undefined,
    (signal) => findAddresses(proxy!, options.cidr, signal),
  );
  const socket = await attempt(
    "tcp",
    addresses === undefined ? "there is no address to connect to" : undefined,
    (signal) => reachProxy(addresses!, proxy!, signal),
  );
  const tunnel = await attempt(
    "connect",
    socket === undefined ? "there is no connection to the proxy" : undefined,
    (signal) => {
      const dialAgain = () => dial(addresses!, proxy!.port, signal);
      return openTunnel(socket!, proxy!, target.server, dialAgain, signal);
    },
  );
  const secured = await attempt(
    "tls",
    tunnel === undefined ? "there is no tunnel to the API server" : undefined,
    (signal) => secure(tunnel!, target, signal),
  );

  let spare: tls.TLSSocket | undefined = secured?.socket;
  /** Over the connection that is open, or else over a new one. */
  const askWithin = (signal: AbortSignal): Ask => async (request) => {
    const mayAuthenticate = request.withCredentials ?? false;
    const needsCertificate = mayAuthenticate && target.user.certificate !== undefined;
    const kept = needsCertificate ? undefined : spare;
    if (kept !== undefined) spare = undefined;
    const connection = kept ?? await connectAnew(target, addresses!, mayAuthenticate, signal);
    return await exchange(connection, target, request, signal);
  };
  const noApiServer = secured === undefined
    ? "there is no connection to the API server"
    : undefined;
  const canAuthenticate = (secured?.isTrusted ?? false) && target.user.credentials !== undefined;
  await attempt(
    "readyz",
    noApiServer,
    (signal) => askReadyz(askWithin(signal), canAuthenticate),
  );
  await attempt(
    "version",
    noApiServer,
    (signal) => askVersion(askWithin(signal), canAuthenticate),
  );
  await attempt(
    "user",
    noApiServer ?? whyNotAsUser(target, secured!),
    (signal) => askUser(askWithin(signal), target.user),
  );
  spare?.destroy();
  return steps;
}

function whyNotAsUser({ user }: Target, { isTrusted }: Secured): string | undefined {
  if (user.credentials === undefined) return user.whyNone;
  return isTrusted ? undefined : NOT_SENT;
}

/** Connects once more, as the steps before did; with credentials only to a trusted server. */
async function connectAnew(
  { proxy, server, trust, user }: Target,
  addresses: readonly string[],
  mayAuthenticate: boolean,
  signal: AbortSignal,
): Promise<tls.TLSSocket> {
  const socket = await dial(addresses, proxy!.port, signal);
  const answer = parseResponse(await askForTunnel(socket, proxy!, server, signal));
  if (!isTunnel(answer)) {
    socket.destroy();
    throw new Error(`another tunnel was refused: ${answer?.status ?? ""} ${answer?.phrase ?? ""}`);
  }
  const certificate = mayAuthenticate ? user.certificate : undefined;
  const secure = await startTls(socket, trust, certificate, signal);
  if (!mayAuthenticate || secure.authorized || trust.isInsecure) return secure;
  secure.destroy();
  throw new Error(NOT_SENT);
}

async function withinLimit<T>(
  limitMs: number,
  run: (signal: AbortSignal) => Promise<Outcome<T>>,
): Promise<Outcome<T>> {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(new StepTimeout(`${limitMs / 1_000} s`)), limitMs);
  try {
    return await run(abort.signal);
  } catch (error) {
    if (error instanceof StepTimeout) return failed(`no answer within ${error.message}`);
    return failed((error as Error).message);
  } finally {
    clearTimeout(timer);
  }
}
