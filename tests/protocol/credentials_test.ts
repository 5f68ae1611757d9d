import { assertEquals, assertRejects } from "@std/assert";
import { type Credential, Credentials } from "../../lib/protocol/credentials.ts";
import { Refusal, REFUSALS } from "../../lib/protocol/refusal.ts";
import { bytesOf } from "./outcome.ts";

async function credentialOf(name: string, secret: string): Promise<Credential> {
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(secret));
  return { name, sha256: new Uint8Array(hash).toHex() };
}

const KNOWN = new Credentials(
  await Promise.all([
    credentialOf("cl01", "one"),
    credentialOf("cl01", "one:new"),
    credentialOf("cl02", "two"),
  ]),
);

const basic = (text: string) => `Basic ${btoa(text)}`;

const PROVEN: readonly (readonly [what: string, value: string, peer: string])[] = [
  ["Basic", basic("cl01:one"), "cl01"],
  ["the second secret of a name, with a colon in it", basic("cl01:one:new"), "cl01"],
  ["the last of the names", basic("cl02:two"), "cl02"],
  ["the scheme in any case, after several spaces", `bAsIc   ${btoa("cl02:two")}`, "cl02"],
  ["Basic without padding", basic("cl01:one").replaceAll("=", ""), "cl01"],
  ["Bearer", "Bearer two", "cl02"],
  ["Bearer with a colon", "bearer one:new", "cl01"],
];

for (const [what, value, peer] of PROVEN) {
  Deno.test(`Credentials.verify() gives the name: ${what}`, async () => {
    assertEquals(await KNOWN.verify([bytesOf(value)]), peer);
  });
}

const SCHEME = "the scheme of Proxy-Authorization is neither Basic nor Bearer";
const BASE64 = "Basic credentials that are not Base64";

const REFUSED: readonly (readonly [what: string, values: readonly string[], reason?: string])[] = [
  ["a wrong secret", [basic("cl01:two!")]],
  ["the secret of another name", [basic("cl01:two")]],
  ["a name that nobody has", [basic("cl03:one")]],
  ["a name in another case", [basic("CL01:one")]],
  ["a name with a colon", [basic("cl01:x:one")]],
  ["an empty secret", [basic("cl01:")]],
  ["an empty name", [basic(":one")]],
  ["nothing but a colon", [basic(":")]],
  ["a wrong secret as Bearer", ["Bearer on"]],
  ["name and secret as Bearer", ["Bearer cl01:one"]],
  ["a hash in place of the secret", [`Bearer ${(await credentialOf("", "one")).sha256}`]],
  ["a secret of 12 KiB", [basic(`cl01:${"a".repeat(12 * 1024)}`)]],
  ["bytes outside ASCII", [basic("cl01:\xff\x00")]],
  ["no field", [], REFUSALS.credentials_missing.phrase],
  [
    "several fields",
    [basic("cl01:one"), basic("cl01:one")],
    "more than one Proxy-Authorization field",
  ],
  ["an empty field", [""], SCHEME],
  ["another scheme", ['Digest username="cl01"'], SCHEME],
  ["a scheme alone", ["Basic"], SCHEME],
  ["no scheme", [btoa("cl01:one")], SCHEME],
  ["bad Base64", ["Basic a*b="], BASE64],
  ["Base64 of an impossible length", ["Basic abcde"], BASE64],
  ["base64url", ["Basic Y2wwMTpf-_8="], BASE64],
  ["more behind the Base64", [`${basic("cl01:one")} x`], SCHEME],
  ["no colon", [basic("one")], "Basic credentials without a colon"],
];

for (const [what, values, reason] of REFUSED) {
  Deno.test(`Credentials.verify() refuses ${what}`, async () => {
    const refusal = await assertRejects(() => KNOWN.verify(values.map(bytesOf)), Refusal);
    const kind = reason === undefined ? "credentials_wrong" : "credentials_missing";
    assertEquals([refusal.kind, refusal.message], [kind, reason ?? REFUSALS[kind].phrase]);
  });
}
