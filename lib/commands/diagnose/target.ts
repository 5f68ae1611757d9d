/** The path to diagnose. */
import type { Finding } from "./finding.ts";

/** The path from here to an API server. */
export interface Target {
  /** `undefined` where the kubeconfig names none. */
  readonly proxy: ProxyPlace | undefined;
  readonly server: ServerPlace;
  readonly trust: Trust;
  readonly user: User;
}

/** The proxy that is to be asked for a tunnel. */
export interface ProxyPlace {
  /** An IPv6 address without brackets. */
  readonly host: string;
  readonly port: number;
  /** Whether the URL had none, so that the scheme decides. */
  readonly isDefaultPort: boolean;
  /** The field `Proxy-Authorization`, where the URL has a name and a secret. */
  readonly authorization: string | undefined;
}

/** The API server. */
export interface ServerPlace {
  readonly host: string;
  readonly port: number;
  /** What stands before `/readyz`, without a slash at its end: some servers have several clusters. */
  readonly basePath: string;
}

/** How the API server's certificate is verified. */
export interface Trust {
  /** The name that the certificate must have. */
  readonly name: string;
  /** Certificates in PEM; `undefined`: those of public authorities. */
  readonly authorities: string | undefined;
  /** Whether the client accepts every certificate. */
  readonly isInsecure: boolean;
}

/** With what the client authenticates. */
export interface User {
  /** Fields of each request: names and values. */
  readonly fields: readonly (readonly [string, string])[];
  readonly certificate: { readonly cert: string; readonly key: string } | undefined;
  /** Such as `a token`; `undefined` when there is nothing to authenticate with. */
  readonly credentials: string | undefined;
  /** Why there is nothing. */
  readonly whyNone: string;
}

/** Wrong arguments, or no kubeconfig: nothing can be diagnosed. */
export class InputError extends Error {
  override readonly name = "InputError";
}

/** The command that makes the kubeconfig which this command reads. */
export const KUBECONFIG_COMMAND = "kubectl config view --raw --minify --flatten -o json";

/** The path, and what is to be said of the kubeconfig. */
export interface Reading {
  readonly target: Target;
  readonly finding: Finding;
}
