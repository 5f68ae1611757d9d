/** What certificates say of themselves. */
import { X509Certificate } from "node:crypto";

/** All names and addresses for which a certificate is good. */
export function namesOf({ subjectAltName, subject }: X509Certificate): string {
  const names = (subjectAltName ?? "").split(", ").map((name) =>
    name.replace(/^(DNS|IP Address):/, "")
  ).filter((name) => name !== "");
  return names.length > 0 ? names.join(", ") : oneLine(subject);
}

/** The DNS names alone. */
export function dnsNamesOf({ subjectAltName }: X509Certificate): readonly string[] {
  return [...(subjectAltName ?? "").matchAll(/DNS:([^,]+)/g)].map(([, name]) => name!);
}

/** `CN=kubernetes`: node separates the parts of a name by line feeds. */
export function oneLine(name: string): string {
  return name.replaceAll("\n", ", ");
}

/** Reads all certificates of a PEM text. @throws When one is not valid. */
export function readCertificates(pem: string): readonly X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.map((block) => new X509Certificate(block));
}

/** A day, such as `2026-11-26`. */
export function dayOf(date: Date): string {
  return date.toISOString().slice(0, 10);
}
