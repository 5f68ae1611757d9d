/** Values in the entries of a kubeconfig. Pure. */
import { readCertificates } from "./certificate.ts";
import { InputError, KUBECONFIG_COMMAND } from "./target.ts";

/** An object of the kubeconfig. */
export type Fields = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A field that has a text which is not empty. @throws {InputError} When it has something else. */
export function optional(fields: Fields, name: string): string | undefined {
  const value = fields[name] ?? "";
  if (typeof value !== "string") throw new InputError(`${name}: takes a text, in quotes`);
  return value === "" ? undefined : value;
}

/**
 * A text that clients send as the value of an HTTP field (RFC 9110 §5.5).
 *
 * @throws {InputError} When a field cannot have it: kubectl then sends nothing.
 */
export function fieldValue(text: string, name: string): string {
  // deno-lint-ignore no-control-regex -- these are what it is about
  if (!/[\x00-\x08\x0a-\x1f\x7f]/.test(text)) return text;
  throw new InputError(
    `${name}: has a line break or another control character, which kubectl does not send; ` +
      "does it come from a file that ends with a line break?",
  );
}

/** Certificates or a key: in the kubeconfig itself, or, which cannot be read, in a file. */
export function pemOf(fields: Fields, name: string): string | undefined {
  const data = optional(fields, `${name}-data`);
  if (data !== undefined) {
    if ([data, atobOrNothing(data)].some((text) => text === "DATA+OMITTED")) {
      throw new InputError(`the kubeconfig has its secrets removed: ${KUBECONFIG_COMMAND}`);
    }
    return atobOrNothing(data) ?? "";
  }
  const file = optional(fields, name);
  if (file === undefined) return undefined;
  throw new InputError(
    `${name} is a file (${file}), and this command reads no files; with --flatten kubectl puts ` +
      `its content in: ${KUBECONFIG_COMMAND} | api-server-proxy diagnose`,
  );
}

/** @throws {InputError} When it is not certificates in PEM. */
export function checkCertificates(text: string, what: string): void {
  try {
    if (readCertificates(text).length > 0) return;
  } catch {
    // It looks like a certificate, and is none.
  }
  throw new InputError(`${what}: takes a certificate in PEM, -----BEGIN CERTIFICATE----- and on`);
}

function atobOrNothing(text: string): string | undefined {
  try {
    return atob(text);
  } catch {
    return undefined;
  }
}
