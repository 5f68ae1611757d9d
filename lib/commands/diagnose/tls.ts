/** The step `tls`: is it the API server that answers at the end of the tunnel? */
import type net from "node:net";
import type tls from "node:tls";
import type { X509Certificate } from "node:crypto";
import { dayOf, dnsNamesOf, namesOf, oneLine, readCertificates } from "./certificate.ts";
import { failed, type Finding, ok, type Outcome } from "./finding.ts";
import { startTls, StepTimeout } from "./sockets.ts";
import type { Target, Trust } from "./target.ts";

/** A connection to the API server, and whether a client may send its credentials over it. */
export interface Secured {
  readonly socket: tls.TLSSocket;
  readonly isTrusted: boolean;
}

const FIND_AUTHORITY =
  "The authority is in the API server's own cluster: `kubectl get configmap -n kube-system " +
  "kube-root-ca.crt -o jsonpath='{.data.ca\\.crt}'`. In a kubeconfig it is " +
  "certificate-authority-data, in base64.";

/** Makes the handshake with the API server and says what its certificate is worth. */
export async function secure(
  tunnel: net.Socket,
  { trust }: Target,
  signal: AbortSignal,
): Promise<Outcome<Secured>> {
  let socket;
  try {
    socket = await startTls(tunnel, trust, undefined, signal);
  } catch (error) {
    if (error instanceof StepTimeout) {
      return failed(
        `the tunnel is open, but no TLS handshake within ${error.message}`,
        "The server beyond the proxy may hang, or speak another protocol. Ask the proxy's " +
          "administrator to check --upstream.",
      );
    }
    return failed(
      `the tunnel is open, but at its end nothing speaks TLS: ${(error as Error).message}`,
      "Ask the proxy's administrator to check that --upstream is the API server's TLS port.",
    );
  }
  const certificate = socket.getPeerX509Certificate()!;
  const isTrusted = socket.authorized || trust.isInsecure;
  return { ...judge(socket, certificate, trust), value: { socket, isTrusted } };
}

function judge(
  socket: tls.TLSSocket,
  certificate: X509Certificate,
  trust: Trust,
): Finding {
  const names = namesOf(certificate);
  const { validFromDate, validToDate } = certificate;
  const issuer = oneLine(certificate.issuer);
  const described = `certificate for ${names}; issued by ${issuer}; valid until ${
    dayOf(validToDate)
  }`;
  if (socket.authorized) return ok(described);
  if (trust.isInsecure) return ok(`not verified (insecure-skip-tls-verify); ${described}`);
  if (validToDate.getTime() < Date.now()) {
    return failed(
      `the API server's certificate expired on ${dayOf(validToDate)}`,
      "It must be renewed where the API server runs (`kubeadm certs renew apiserver`). If it is " +
        "valid there, check the clock of this machine.",
    );
  }
  if (validFromDate.getTime() > Date.now()) {
    return failed(
      `the API server's certificate is not valid before ${dayOf(validFromDate)}`,
      "Check the clock of this machine and of the API server.",
    );
  }
  if (String(socket.authorizationError).includes("ALTNAME")) {
    const [first] = dnsNamesOf(certificate);
    const name = dnsNamesOf(certificate).find((one) => one === "kubernetes.default.svc") ?? first;
    return failed(
      `the API server's certificate is not valid for ${trust.name}, only for ${names}`,
      name === undefined
        ? "Use one of these as server."
        : `Write https://${name} as server, or keep it and add tls-server-name: ${name} to the ` +
          "cluster in the kubeconfig.",
    );
  }
  if (trust.authorities === undefined) {
    return failed(
      `the certificate is issued by ${issuer}, which is no public authority, and no other authority was given`,
      FIND_AUTHORITY,
    );
  }
  const given = readCertificates(trust.authorities).map(({ subject }) => oneLine(subject));
  return failed(
    given.includes(issuer)
      ? "the certificate authority that was given has the name of the one that issued the API " +
        `server's certificate (${issuer}), but another key`
      : `the certificate authority that was given (${given.join("; ")}) did not issue the API ` +
        `server's certificate: that was ${issuer}`,
    "Either the authority is that of another cluster, or an old one; or the tunnel leads to the API " +
      `server of another cluster: its certificate is for ${names}.`,
    FIND_AUTHORITY,
  );
}
