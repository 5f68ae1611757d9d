/** What `--help` prints. */
import { envName, type Flag, type FlagName, FLAGS } from "./flags.ts";

const HEADER = `api-server-proxy: an HTTP CONNECT proxy in front of a Kubernetes API server

Usage:
  api-server-proxy [options]
  api-server-proxy remap REMAPPED_IP REMAPPED_EXT_CIDR
      print the address at which the peer cluster reaches this proxy
  api-server-proxy ready [URL]
      exit with 0 if a running proxy is ready (default: http://127.0.0.1:8119/readyz)
  api-server-proxy tunnels [--output table|json] [URL]
      print the live tunnels of a running proxy (default: http://127.0.0.1:8119/tunnels)
  api-server-proxy diagnose [flags] [PROXY_URL [SERVER_URL]]
      find the broken link between a client and the API server beyond a proxy (see its --help)

  api-server-proxy credentials NAME
      print a new secret for a peer, and the value of --credentials for it

Examples:
  # Serve the API server at 10.0.0.10 to clients from the gateways' network
  api-server-proxy --upstream 10.0.0.10:6443 --allow-from 10.70.0.0/16

  # Two API servers, the second used when the first fails; clients may ask for one name only
  api-server-proxy --upstream 10.0.0.10:6443,10.0.0.11:6443 \\
    --allowed-hosts kubernetes.default.svc:443
`;

const FOOTER = `
Other:
      --check
          check the flags, look up the upstreams, print what the proxy would do, and exit
  -h, --help
          print this help
      --version
          print the version

Durations are written 500ms, 10s, 1m30s or 1h; 0 disables a limit. Lists are comma
separated, and the flag may repeat. Every flag can be set in the environment
(--connect-timeout is ${envName("connect-timeout")}); the flag wins.
`;

/** The help text: flags grouped, each with its default. */
export function usage(): string {
  const groups = Map.groupBy(
    Object.entries(FLAGS) as [FlagName, Flag][],
    ([, flag]) => flag.group,
  );
  const sections = [...groups].map(([group, flags]) =>
    `\n${group}:\n` +
    flags.map(([name, flag]) =>
      `      --${name} ${flag.value}  (default: ${
        flag.fallbackHelp ?? (flag.fallback || "none")
      })\n` +
      `          ${flag.help}\n`
    ).join("")
  );
  return HEADER + sections.join("") + FOOTER;
}
