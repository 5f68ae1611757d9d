/** With what a user of a kubeconfig authenticates. Pure. */
import { createPrivateKey } from "node:crypto";
import { readCertificates } from "./certificate.ts";
import { checkCertificates, type Fields, fieldValue, isObject, optional, pemOf } from "./fields.ts";
import { basic } from "./http.ts";
import { InputError, KUBECONFIG_COMMAND, type User } from "./target.ts";

/** A user without anything to authenticate with. */
export const NO_USER: User = {
  fields: [],
  certificate: undefined,
  credentials: undefined,
  whyNone: "no credentials given",
};

/** Reads a user. @throws {InputError} When its certificate or key is none. */
export function readUser(user: Fields): User {
  const token = optional(user, "token");
  if (token === "REDACTED") {
    throw new InputError(`the kubeconfig has its secrets removed: ${KUBECONFIG_COMMAND}`);
  }
  const [name, password] = [optional(user, "username"), optional(user, "password")];
  const cert = pemOf(user, "client-certificate");
  const key = pemOf(user, "client-key");
  const authorization = token !== undefined
    ? `Bearer ${fieldValue(token, "token")}`
    : name !== undefined && password !== undefined
    ? basic(name, password)
    : undefined;
  if (cert !== undefined && key === undefined) {
    throw new InputError("client-certificate-data: kubectl refuses it without client-key-data");
  }
  const certificate = cert !== undefined && key !== undefined ? { cert, key } : undefined;
  if (certificate !== undefined) {
    checkCertificates(certificate.cert, "client-certificate-data");
    checkKey(certificate);
  }
  const credentials = [
    ...authorization === undefined ? [] : [token === undefined ? "a password" : "a token"],
    ...certificate === undefined ? [] : ["a client certificate"],
  ];
  return {
    fields: [
      ...authorization === undefined ? [] : [["Authorization", authorization] as const],
      ...impersonation(user),
    ],
    certificate,
    credentials: credentials.length > 0 ? credentials.join(" and ") : undefined,
    whyNone: whyNoCredentials(user),
  };
}

/** @throws {InputError} When the key is none, or another one's. */
function checkKey({ cert, key }: { readonly cert: string; readonly key: string }): void {
  let fits;
  try {
    fits = readCertificates(cert)[0]!.checkPrivateKey(createPrivateKey(key));
  } catch {
    throw new InputError("client-key-data: takes a private key in PEM");
  }
  if (!fits) throw new InputError("client-key-data: not the key of client-certificate-data");
}

/** What a client may ask for on behalf of another user. */
function impersonation(user: Fields): (readonly [string, string])[] {
  const as = optional(user, "as"), uid = optional(user, "as-uid"), groups = user["as-groups"];
  return [
    ...as === undefined ? [] : [["Impersonate-User", fieldValue(as, "as")] as const],
    ...uid === undefined ? [] : [["Impersonate-Uid", fieldValue(uid, "as-uid")] as const],
    ...(Array.isArray(groups) ? groups : []).map((group) =>
      ["Impersonate-Group", fieldValue(String(group), "as-groups")] as const
    ),
  ];
}

function whyNoCredentials(user: Fields): string {
  if (isObject(user.exec)) {
    return `its credentials come from a program (${user.exec.command}), which cannot be run here`;
  }
  if (user["auth-provider"] !== undefined) {
    return "its credentials come from an auth-provider, which cannot be run here";
  }
  const file = optional(user, "tokenFile");
  if (file !== undefined) return `its token is in a file (${file}), which is not read here`;
  return NO_USER.whyNone;
}
