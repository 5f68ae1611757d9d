import { assertEquals } from "@std/assert";
import {
  address,
  apiServer,
  authority,
  credential,
  duration,
  oneOf,
  sourceBlock,
  type ValueKind,
  wholeNumber,
} from "../../lib/config/values.ts";

type Rows<T> = readonly (readonly [text: string, expected: T | undefined])[];

function reads<T>(kind: string, { read }: ValueKind<T>, rows: Rows<T>): void {
  for (const [text, expected] of rows) {
    const verb = expected === undefined ? "does not read" : "reads";
    Deno.test(`${kind} ${verb} ${JSON.stringify(text)}`, () => assertEquals(read(text), expected));
  }
}

reads("duration", duration, [
  ["0", 0],
  ["0s", 0],
  ["0h0m0s", 0],
  ["1ms", 1],
  ["500ms", 500],
  ["10s", 10_000],
  ["1m", 60_000],
  ["1h", 3_600_000],
  ["1m30s", 90_000],
  ["1h30m", 5_400_000],
  ["1h1m1s1ms", 3_661_001],
  ["1.5s", 1_500],
  ["0.1s", 100],
  ["1.1s", 1_100],
  ["0.5h", 1_800_000],
  ["1.6ms", 2],
  ["007s", 7_000],
  ["576h", 2_073_600_000],
  ["575h59m60s", 2_073_600_000],
  ["576h1ms", undefined],
  ["577h", undefined],
  [`${"9".repeat(400)}h`, undefined],
  // Rounded to 0 they would switch the limit off.
  ["0.4ms", undefined],
  ["0.0001s", undefined],
  ["", undefined],
  ["10", undefined],
  ["1", undefined],
  ["s", undefined],
  ["-1s", undefined],
  ["+1s", undefined],
  ["1 s", undefined],
  [" 1s", undefined],
  ["1s ", undefined],
  ["1s\n", undefined],
  ["1S", undefined],
  ["1d", undefined],
  ["1us", undefined],
  ["1ns", undefined],
  ["1sec", undefined],
  ["1m30", undefined],
  [".5s", undefined],
  ["1.s", undefined],
  ["1.5.5s", undefined],
  ["1e3s", undefined],
  ["0x10s", undefined],
  ["Infinity", undefined],
  ["off", undefined],
]);

reads("wholeNumber(0, 65535)", wholeNumber(0, 65_535), [
  ["0", 0],
  ["1", 1],
  ["8118", 8_118],
  ["65535", 65_535],
  ["65536", undefined],
  ["-1", undefined],
  ["+1", undefined],
  ["1.0", undefined],
  ["1e3", undefined],
  ["0x10", undefined],
  ["1_000", undefined],
  ["", undefined],
  [" 1", undefined],
  ["1 ", undefined],
  ["1\n", undefined],
  ["\u0661", undefined],
  ["true", undefined],
  ["9".repeat(16), undefined],
]);

reads("wholeNumber(1, 5)", wholeNumber(1, 5), [
  ["0", undefined],
  ["1", 1],
  ["5", 5],
  ["6", undefined],
]);

reads("oneOf(json, text)", oneOf("json", "text"), [
  ["json", "json"],
  ["text", "text"],
  ["JSON", undefined],
  ["", undefined],
  ["json ", undefined],
  ["toString", undefined],
]);

reads("address", address, [
  ["127.0.0.1", "127.0.0.1"],
  ["0.0.0.0", "0.0.0.0"],
  ["::", "::"],
  ["[::]", "::"],
  ["[::1]", "::1"],
  ["FD00:0::1", "fd00::1"],
  ["::ffff:127.0.0.1", "127.0.0.1"],
  ["[127.0.0.1]", undefined],
  ["localhost", undefined],
  ["127.1", undefined],
  ["*", undefined],
  ["", undefined],
  ["[]", undefined],
  ["[::1", undefined],
  ["[[::1]]", undefined],
  ["fe80::1%eth0", undefined],
  ["127.0.0.1:8118", undefined],
  ["[::1]:8118", undefined],
]);

reads("authority", authority, [
  ["kubernetes.default.svc:443", { host: "kubernetes.default.svc", port: 443 }],
  ["[fd00::1]:443", { host: "fd00::1", port: 443 }],
  ["a:0443", undefined],
  ["a", undefined],
  ["https://a:443", undefined],
  ["", undefined],
]);

const SHA256 = "0123456789abcdef".repeat(4);
const ab = { host: "a.b", port: 443 };

reads("apiServer", apiServer, [
  ["a.b:443", ab],
  ["https://a.b:443", ab],
  ["https://a.b:443/", ab],
  ["https://a.b", ab],
  ["HTTPS://A.b/", ab],
  ["https://[fd00::1]", { host: "fd00::1", port: 443 }],
  ["https://[fd00::1]:6443", { host: "fd00::1", port: 6443 }],
  ["https://a.b:6443", { host: "a.b", port: 6443 }],
  ["https://a.b:", undefined],
  ["https://a.b:0", undefined],
  ["https://a.b/api", undefined],
  ["https://a.b//", undefined],
  ["https://a.b?x", undefined],
  ["https://a.b#x", undefined],
  ["https://u@a.b", undefined],
  ["https://u:p@a.b:443", undefined],
  ["https://fd00::1", undefined],
  ["https://", undefined],
  ["http://a.b:443", undefined],
  ["//a.b:443", undefined],
  ["a.b", undefined],
]);

reads("credential", credential, [
  [`cl01:${SHA256}`, { name: "cl01", sha256: SHA256 }],
  [`a.B-c_1:${SHA256.toUpperCase()}`, { name: "a.B-c_1", sha256: SHA256 }],
  [`${"a".repeat(63)}:${SHA256}`, { name: "a".repeat(63), sha256: SHA256 }],
  [`${"a".repeat(64)}:${SHA256}`, undefined],
  [`:${SHA256}`, undefined],
  [`a:b:${SHA256}`, undefined],
  [`a b:${SHA256}`, undefined],
  [`-a:${SHA256}`, undefined],
  [`a=b:${SHA256}`, undefined],
  [`a:${SHA256}0`, undefined],
  [`a:${SHA256.slice(1)}`, undefined],
  [`a:${SHA256}\n`, undefined],
  ["a:secret", undefined],
  [SHA256, undefined],
  ["", undefined],
]);

reads("sourceBlock", sourceBlock, [
  ["10.0.0.0/8", { address: "10.0.0.0", prefixBits: 8 }],
  ["fd00::1", { address: "fd00::1", prefixBits: 128 }],
  ["cl01=10.0.0.0/8", { address: "10.0.0.0", prefixBits: 8, peer: "cl01" }],
  ["cl01=::1", { address: "::1", prefixBits: 128, peer: "cl01" }],
  ["=10.0.0.0/8", undefined],
  ["cl01=", undefined],
  ["a=b=10.0.0.0/8", undefined],
  ["a:b=10.0.0.0/8", undefined],
  ["cl01=10.0.0.1/8", undefined],
  ["10.0.0.1/8", undefined],
  ["", undefined],
]);

Deno.test("each kind of value says what it takes", () => {
  assertEquals(wholeNumber(1, 5).takes, "a whole number from 1 to 5");
  assertEquals(oneOf("a", "b", "c").takes, "a, b or c");
  assertEquals(oneOf("a", "b").takes, "a or b");
});
