import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { type Config, type Invocation, parseConfig, peerNames } from "../../lib/config/config.ts";
import { envName, type FlagName, FLAGS } from "../../lib/config/flags.ts";
import { type FlagRow, ROWS } from "./flags.ts";

type Variables = Readonly<Record<string, string>>;

function parse(args: readonly string[], env: Variables = {}): Invocation {
  return parseConfig(args, (name) => env[name]);
}

function configOf(args: readonly string[], env: Variables = {}): Config {
  const invocation = parse(args, env);
  assert(invocation.kind === "run", JSON.stringify(invocation));
  return invocation.config;
}

function mistakesOf(args: readonly string[], env: Variables = {}): readonly string[] {
  const invocation = parse(args, env);
  assert(invocation.kind === "mistakes", JSON.stringify(invocation));
  return invocation.problems;
}

const UPSTREAM = "--upstream=a:1";
const IN_POD = { KUBERNETES_SERVICE_HOST: "10.96.0.1", KUBERNETES_SERVICE_PORT: "443" };
const a1 = { host: "a", port: 1 }, b2 = { host: "b", port: 2 }, c3 = { host: "c", port: 3 };
const svc = { host: "kubernetes.default.svc", port: 443 };

const TAKES_AUTHORITY = "takes HOST:PORT with a port from 1 to 65535, an IPv6 address in brackets";
const TAKES_UPSTREAM = `${TAKES_AUTHORITY}, or https://HOST:PORT`;
const TAKES_DURATION = "takes a duration such as 500ms, 10s, 1m30s or 1h, at most 576h, or 0";
const NO_UPSTREAM =
  "no upstream: give --upstream HOST:PORT (the API server), or --allowed-hosts HOST:PORT,… " +
  "(hosts that clients may reach); only in a pod is the API server known";

const FLAG_ROWS = Object.entries(ROWS) as [FlagName, FlagRow][];

Deno.test("the table of this test has every flag", () => {
  assertEquals(Object.keys(ROWS).toSorted(), Object.keys(FLAGS).toSorted());
});

for (const [flag, { key, fallback, given, other, wrong }] of FLAG_ROWS) {
  const [text, value] = given, [otherText, otherValue] = other, [wrongText, takes] = wrong;
  const variable = `API_SERVER_PROXY_${flag.toUpperCase().replaceAll("-", "_")}`;

  Deno.test(`--${flag} has its documented default`, () => {
    assertEquals(configOf([], IN_POD)[key], fallback);
    assertEquals(configOf([], { ...IN_POD, [variable]: "" })[key], fallback, "empty variable");
  });

  Deno.test(`--${flag} is read with a space, with =, and from ${variable}`, () => {
    assertEquals(envName(flag), variable);
    for (const [as, expected] of [given, other]) {
      assertEquals(configOf([`--${flag}`, as], IN_POD)[key], expected);
      assertEquals(configOf([`--${flag}=${as}`], IN_POD)[key], expected);
      assertEquals(configOf([], { ...IN_POD, [variable]: as })[key], expected);
    }
  });

  Deno.test(`--${flag} wins over ${variable}`, () => {
    assertEquals(configOf([`--${flag}=${text}`], { ...IN_POD, [variable]: otherText })[key], value);
    assertEquals(
      configOf([`--${flag}=${otherText}`], { [variable]: text, ...IN_POD })[key],
      otherValue,
    );
    assertEquals(configOf([`--${flag}=${text}`], { ...IN_POD, [variable]: wrongText })[key], value);
  });

  Deno.test(`--${flag} with a wrong value is reported with what it takes`, () => {
    const problem = `"${wrongText}": ${takes}`;
    assertEquals(mistakesOf([`--${flag}=${wrongText}`], IN_POD), [`--${flag} ${problem}`]);
    const env = { ...IN_POD, [variable]: wrongText };
    assertEquals(mistakesOf([], env), [`${variable} ${problem}`]);
  });

  Deno.test(`--${flag} without a value is ${mayBeEmpty(flag) ? "as not given" : "reported"}`, () => {
    for (const args of [[`--${flag}`], [`--${flag}=`]]) {
      if (mayBeEmpty(flag)) assertEquals(configOf(args, IN_POD)[key], fallback);
      else assertEquals(mistakesOf(args, IN_POD), [`--${flag} "": ${takes}`]);
    }
  });
}

/** As Liqo's chart may give them. */
function mayBeEmpty(flag: FlagName): boolean {
  return flag === "force-host" || flag === "allowed-hosts";
}

Deno.test("parseConfig() gives one frozen value", () => {
  assert(Object.isFrozen(configOf([UPSTREAM])));
});

Deno.test("parseConfig() takes a list by comma and by repeated flags, in that order", () => {
  const args = ["--upstream", "a:1,b:2", "--upstream=c:3", "--allow-from=::/0,10.0.0.0/8"];
  const { upstreams, allowFrom } = configOf([...args, "--allow-from", "1.2.3.4"]);
  assertEquals(upstreams, [a1, b2, c3]);
  assertEquals(allowFrom.map(({ address }) => address), ["::", "10.0.0.0", "1.2.3.4"]);
});

Deno.test("parseConfig() takes the last of a flag that is no list and was given twice", () => {
  assertEquals(configOf([UPSTREAM, "--port=1", "--host=::", "--port=2"]).port, 2);
});

Deno.test("parseConfig() reports an empty part of a list", () => {
  assertEquals(mistakesOf(["--upstream=a:1,"]), [`--upstream "": ${TAKES_UPSTREAM}`]);
});

Deno.test("parseConfig() reports all mistakes in one run", () => {
  const args = ["--upstream=a,b:2", "--idle-timeout=4", "--prot=1", "--log-level=loud", "serve"];
  const problems = mistakesOf(args, { API_SERVER_PROXY_DRAIN_TIMEOUT: "soon" });
  assertEquals(problems.toSorted(), [
    '"serve": no such command; flags begin with --',
    `--idle-timeout "4": ${TAKES_DURATION}`,
    '--log-level "loud": takes debug, info, warn or error',
    "--prot: no such flag; did you mean --port?",
    `--upstream "a": ${TAKES_UPSTREAM}`,
    `API_SERVER_PROXY_DRAIN_TIMEOUT "soon": ${TAKES_DURATION}`,
  ]);
});

Deno.test("parseConfig() reports a missing upstream along with other mistakes", () => {
  const wrongPort = '--port "x": takes a whole number from 0 to 65535';
  assertEquals(mistakesOf(["--port=x"]).toSorted(), [wrongPort, NO_UPSTREAM]);
  const problems = mistakesOf(["--zzz"]);
  assertEquals(problems.length, 2);
  assert(problems.includes(NO_UPSTREAM));
});

Deno.test("parseConfig() does not miss an upstream that was given wrongly", () => {
  assertEquals(mistakesOf(["--upstream=nonsense"]), [`--upstream "nonsense": ${TAKES_UPSTREAM}`]);
  const allowed = mistakesOf(["--allowed-hosts=nonsense"]);
  assertEquals(allowed, [`--allowed-hosts "nonsense": ${TAKES_AUTHORITY}`]);
});

Deno.test("parseConfig() reports a value with a line break on one line", () => {
  const problems = mistakesOf([UPSTREAM, "--port=1\n2"]);
  assertEquals(problems.length, 1);
  assertEquals(problems.join("").split(/[\r\n]/).length, 1);
});

for (
  const [given, nearest] of [
    ["--prot", "--port"],
    ["--prot=8118", "--port"],
    ["-port", "--port"],
    ["-host", "--host"],
    ["-shutdown-delay=5s", "--shutdown-delay"],
    ["--forcehost", "--force-host"],
    ["--allow-host", "--allowed-hosts"],
    ["--allowfrom", "--allow-from"],
    ["--connection-timeout", "--connect-timeout"],
    ["--max-conns", "--max-connections"],
    ["--loglevel", "--log-level"],
    ["--no-port", "--port"],
    ["--hepl", "--help"],
    ["--Version", "--version"],
    ["--upstreams.x", "--upstream"],
  ] as const
) {
  Deno.test(`parseConfig() answers ${given} with ${nearest}`, () => {
    const problem = `${given.replace(/=.*/, "")}: no such flag; did you mean ${nearest}?`;
    assertEquals(mistakesOf([UPSTREAM, given]), [problem]);
  });
}

Deno.test("parseConfig() takes no flag by the name of a property that objects have", () => {
  for (const name of ["__proto__", "constructor", "toString"]) {
    assertStringIncludes(mistakesOf([UPSTREAM, `--${name}=1`]).join(), `--${name}: no such flag`);
  }
});

Deno.test("parseConfig() ignores no argument", () => {
  assertEquals(mistakesOf([UPSTREAM, "--", "serve"]).length, 1);
  assertEquals(mistakesOf([UPSTREAM, "--help=false", "serve"]).length, 1);
});

Deno.test("parseConfig() answers --help, -h and --version whatever else is given", () => {
  for (const args of [["--help"], ["-h"], ["--help", "--port=x"], [UPSTREAM, "--help"]]) {
    assertEquals(parse(args), { kind: "help" }, args.join(" "));
  }
  assertEquals(parse(["--version"]), { kind: "version" });
  assertEquals(parse(["--port=x", "--version"]), { kind: "version" });
});

Deno.test("parseConfig() does not take the URL of a Service link for its port", () => {
  const link = { API_SERVER_PROXY_PORT: "tcp://10.0.0.1:8118" };
  assertEquals(configOf([UPSTREAM], link).port, 8_118);
  assertEquals(configOf([UPSTREAM, "--port=80"], link).port, 80);
  for (const name of ["API_SERVER_PROXY_PORT", "API_SERVER_PROXY_HOST"]) {
    assertEquals(mistakesOf([UPSTREAM], { [name]: "udp://10.0.0.1:1" }).length, 1, name);
  }
  assertEquals(mistakesOf([UPSTREAM], { API_SERVER_PROXY_HOST: "tcp://10.0.0.1:1" }).length, 1);
  assertEquals(mistakesOf([UPSTREAM, `--port=${link.API_SERVER_PROXY_PORT}`]).length, 1);
});

for (
  const [name, env, expected] of [
    ["IPv4", IN_POD, { host: "10.96.0.1", port: 443 }],
    ["another port", { ...IN_POD, KUBERNETES_SERVICE_PORT: "6443" }, {
      host: "10.96.0.1",
      port: 6_443,
    }],
    ["no port", { KUBERNETES_SERVICE_HOST: "10.96.0.1" }, { host: "10.96.0.1", port: 443 }],
    ["IPv6", { ...IN_POD, KUBERNETES_SERVICE_HOST: "fd00:0::1" }, { host: "fd00::1", port: 443 }],
    // AKS gives the API server's name, Talos with KubePrism localhost.
    ["a name", { ...IN_POD, KUBERNETES_SERVICE_HOST: "x.azmk8s.io" }, {
      host: "x.azmk8s.io",
      port: 443,
    }],
  ] as const
) {
  Deno.test(`parseConfig() takes the API server of the cluster it runs in: ${name}`, () => {
    assertEquals(configOf([], env).upstreams, [expected]);
    assertEquals(configOf(["--upstream=b:2"], env).upstreams, [b2]);
    assertEquals(configOf(["--force-host=b:2"], env).upstreams, [b2]);
  });
}

Deno.test("parseConfig() dials what the client asks for only with a list of places", () => {
  for (const env of [{}, IN_POD]) {
    const { upstreams, allowedAuthorities } = configOf(["--allowed-hosts=a:1"], env);
    assertEquals(upstreams, []);
    assertEquals(allowedAuthorities, [a1]);
  }
});

for (
  const [name, args, env] of [
    ["nothing", [], {}],
    ["an empty --allowed-hosts", ["--allowed-hosts="], {}],
    ["an empty --force-host", ["--force-host"], {}],
    ["an empty variable", [], { API_SERVER_PROXY_UPSTREAM: "" }],
    ["an empty Service host", [], { ...IN_POD, KUBERNETES_SERVICE_HOST: "" }],
    ["a Service port alone", [], { KUBERNETES_SERVICE_PORT: "443" }],
  ] as const
) {
  Deno.test(`parseConfig() is never an open proxy: ${name} is no upstream`, () => {
    assertEquals(mistakesOf(args, env), [NO_UPSTREAM]);
  });
}

for (
  const [host, port] of [["10.96.0.1", "0"], ["a b", "443"], ["10.96.0.1", "tcp://1"]] as const
) {
  Deno.test(`parseConfig() names the variables of a pod that are no API server: ${host} ${port}`, () => {
    const env = { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port };
    assertEquals(mistakesOf([], env), [
      `KUBERNETES_SERVICE_HOST "${host}", KUBERNETES_SERVICE_PORT "${port}": take host and port of ` +
      "the API server, as Kubernetes sets them in a pod",
    ]);
  });
}

Deno.test("parseConfig() takes an empty value behind its flag", () => {
  assertEquals(mistakesOf(["--force-host", "", "--allowed-hosts", ""], {}), [NO_UPSTREAM]);
  assertEquals(mistakesOf(["--check", "", "--upstream=a:1"], {}), [
    '"": no such command; flags begin with --',
  ]);
});

Deno.test("parseConfig() suggests no flag that is unlike", () => {
  assertEquals(mistakesOf(["-x", "--upstream=a:1"], {}), ["-x: no such flag"]);
});

Deno.test("parseConfig() is never an open proxy, however flags and variables come together", () => {
  const states = [undefined, "", "c:3", "wrong"];
  const waysOf = (flag: FlagName) =>
    states.flatMap((text) => states.map((inEnv) => ({ flag, text, inEnv })));
  for (const upstream of waysOf("upstream")) {
    for (const forceHost of waysOf("force-host")) {
      for (const allowedHosts of waysOf("allowed-hosts")) {
        const ways = [upstream, forceHost, allowedHosts];
        const args = ways.flatMap(({ flag, text }) =>
          text === undefined ? [] : `--${flag}=${text}`
        );
        const env = Object.fromEntries(ways.map(({ flag, inEnv = "" }) => [envName(flag), inEnv]));
        const invocation = parse(args, env);
        if (invocation.kind !== "run") continue;
        const { upstreams, allowedAuthorities } = invocation.config;
        const places = upstreams.length + allowedAuthorities.length;
        assert(places > 0, `${args.join(" ")} ${JSON.stringify(env)}`);
      }
    }
  }
});

Deno.test("parseConfig() takes a flag that may be empty, and is, for not given", () => {
  for (const name of ["API_SERVER_PROXY_UPSTREAM", "API_SERVER_PROXY_FORCE_HOST"]) {
    assertEquals(configOf(["--force-host="], { [name]: "c:3" }).upstreams, [c3], name);
  }
  const env = { API_SERVER_PROXY_ALLOWED_HOSTS: "c:3" };
  assertEquals(configOf(["--allowed-hosts=", UPSTREAM], env).allowedAuthorities, [c3]);
});

Deno.test("parseConfig() takes the arguments of Liqo's chart", () => {
  const args = ["--force-host=kubernetes.default.svc:443", "--port=8118"];
  for (const given of [args, ["--force-host", "kubernetes.default.svc:443", "--port", "8118"]]) {
    const { upstreams, port, allowedAuthorities } = configOf(given, IN_POD);
    assertEquals([upstreams, port, allowedAuthorities], [[svc], 8_118, []]);
  }
  assertEquals(configOf([...args, "--allowed-hosts="]).allowedAuthorities, []);
});

Deno.test("--force-host is --upstream under another name", () => {
  assertEquals(configOf(["--upstream=a:1", "--force-host=b:2"]).upstreams, [a1, b2]);
  const upstreamInEnv = { API_SERVER_PROXY_UPSTREAM: "c:3" };
  assertEquals(configOf(["--force-host=b:2"], upstreamInEnv).upstreams, [b2]);
  const forceHostInEnv = { API_SERVER_PROXY_FORCE_HOST: "c:3" };
  assertEquals(configOf(["--upstream=a:1"], forceHostInEnv).upstreams, [a1]);
});

Deno.test("parseConfig() takes the same upstream given twice for one", () => {
  const args = ["--upstream=a:1,A:1,https://a:1", "--force-host=a:1,b:2"];
  assertEquals(configOf(args).upstreams, [a1, b2]);
});

const ONE = "1".repeat(64), TWO = "2".repeat(64);

Deno.test("parseConfig() prints nothing of a secret that was given in place of its hash", () => {
  const takes = "takes NAME:SHA256, as `api-server-proxy credentials NAME` prints it";
  assertEquals(mistakesOf([UPSTREAM, "--credentials=cl01:secret"]), [
    `--credentials "cl01:…": ${takes}`,
  ]);
  assertEquals(mistakesOf([UPSTREAM], { API_SERVER_PROXY_CREDENTIALS: "secret" }), [
    `API_SERVER_PROXY_CREDENTIALS "…": ${takes}`,
  ]);
});

Deno.test("parseConfig() reports two peers with one secret, and a block with two names", () => {
  assertEquals(
    configOf([UPSTREAM, `--credentials=a:${ONE},a:${TWO},a:${ONE}`]).credentials.length,
    3,
  );
  assertEquals(mistakesOf([UPSTREAM, `--credentials=a:${ONE},b:${TWO},c:${ONE}`]), [
    "--credentials: a and c have the same secret",
  ]);
  assertEquals(mistakesOf([UPSTREAM, "--allow-from=a=10.0.0.0/8,10.0.0.0/8,b=10.0.0.0/8"]), [
    "--allow-from: 10.0.0.0/8 has two names, a and b",
  ]);
});

Deno.test("peerNames() gives each name once, of secrets and of blocks", () => {
  const args = [
    UPSTREAM,
    `--credentials=a:${ONE},b:${TWO}`,
    "--allow-from=b=10.0.0.0/8,c=::/0,::/1",
  ];
  assertEquals(peerNames(configOf(args)), ["a", "b", "c"]);
  assertEquals(peerNames(configOf([UPSTREAM])), []);
});

Deno.test("parseConfig() reports each variable that cannot be read, along with other mistakes", () => {
  const unreadable = ["API_SERVER_PROXY_LOG_LEVEL", "API_SERVER_PROXY_CREDENTIALS"];
  const invocation = parseConfig([UPSTREAM, "--port=x"], (name) => {
    if (unreadable.includes(name)) throw new Error(`${name}: takes text in UTF-8`);
    return undefined;
  });
  assert(invocation.kind === "mistakes");
  assertEquals(invocation.problems.toSorted(), [
    '--port "x": takes a whole number from 0 to 65535',
    "API_SERVER_PROXY_CREDENTIALS: takes text in UTF-8",
    "API_SERVER_PROXY_LOG_LEVEL: takes text in UTF-8",
  ]);
});

Deno.test("one port for the proxy and the admin server is a mistake where their addresses meet", () => {
  const mistake = ['--admin-port "8118": takes another port than --port, or off'];
  const same = "--admin-port=8118";
  for (
    const args of [
      [],
      ["--host=10.0.0.1"],
      ["--host=10.0.0.1", "--admin-host=10.0.0.1"],
      ["--host=10.0.0.1", "--admin-host=::"],
      ["--admin-host=127.0.0.1"],
      ["--host=0.0.0.0", "--admin-host=127.0.0.1"],
    ]
  ) assertEquals(mistakesOf([UPSTREAM, same, ...args]), mistake, `${args}`);
  // A port that cannot be read meets no other.
  assertEquals(mistakesOf([UPSTREAM, same, "--port=abc"]), [
    '--port "abc": takes a whole number from 0 to 65535',
  ]);
  const apart = configOf([UPSTREAM, same, "--host=10.0.0.1", "--admin-host=127.0.0.1"]);
  assertEquals([apart.port, apart.adminPort], [8118, 8118]);
  assertEquals(configOf([UPSTREAM, "--port=0", "--admin-port=0"]).adminPort, 0);
});

Deno.test("--upstream-ca refuses a certificate of which a part is missing", () => {
  const sequence = "\x30\x82\x01\x00" + "\x05\x00".repeat(128);
  const pem = (der: string) =>
    `-----BEGIN CERTIFICATE-----\n${btoa(der)}\n-----END CERTIFICATE-----\n`;
  assertEquals(configOf([UPSTREAM, "--upstream-ca", pem(sequence)]).upstreamCa, pem(sequence));
  for (const wrong of [sequence.slice(0, -3), `${sequence}\x05\x00`, "\x30\x82", "rubbish"]) {
    assertEquals(mistakesOf([UPSTREAM, "--upstream-ca", pem(wrong)]).length, 1, btoa(wrong));
  }
});
