import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import { ConnectRequestParser, isHeadRequest } from "../../lib/protocol/connect_request.ts";
import { REFUSALS } from "../../lib/protocol/refusal.ts";
import { CLIENTS } from "./clients.ts";
import { head, HOST, LINE, longHead, REFUSED, SERVED } from "./heads.ts";
import { byteByByte, bytesOf, type Outcome, outcome } from "./outcome.ts";
import { SMUGGLING } from "./smuggling.ts";

/** Short enough to try each place where it can be cut in two. */
const SHORT_BYTES = 400;
/** A TLS ClientHello begins like this; and a request, that nobody must read. */
const TUNNEL = "\x16\x03\x01\0\xff\r\n\r\nGET / HTTP/1.1\r\nContent-Length: 9\r\n\r\n";

/** One row, many proofs: how the bytes come, and what comes behind them, makes no difference. */
function expectHowever(head: string, expected: Outcome): void {
  const bytes = bytesOf(head);
  const more = bytesOf(head + TUNNEL);
  assertEquals(outcome(bytes), expected, "whole");
  assertEquals(outcome(bytes, byteByByte(bytes)), expected, "byte by byte");
  assertEquals(outcome(more), expected, "whole, with tunnel bytes");
  assertEquals(outcome(more, byteByByte(more)), expected, "byte by byte, with tunnel bytes");
  if (bytes.length > SHORT_BYTES) return;
  for (let cut = 0; cut <= bytes.length; cut++) {
    assertEquals(outcome(bytes, [cut, bytes.length]), expected, `cut at ${cut}`);
    assertEquals(outcome(more, [cut, more.length]), expected, `cut at ${cut}, with tunnel bytes`);
  }
}

for (const [name, head, authority] of SERVED) {
  Deno.test(`ConnectRequestParser accepts ${name}`, () => {
    expectHowever(head, { authority, headBytes: head.length });
  });
}

for (const [client, head] of CLIENTS) {
  Deno.test(`ConnectRequestParser accepts what ${client} sends`, () => {
    expectHowever(head, { authority: "api.example:6443", headBytes: head.length });
  });
}

for (const [name, head, kind, reason] of REFUSED) {
  Deno.test(`ConnectRequestParser refuses ${name}`, () => {
    expectHowever(head, { kind, message: reason ?? REFUSALS[kind].phrase });
  });
}

for (const [name, head, status] of SMUGGLING) {
  Deno.test(`ConnectRequestParser answers ${status} to the smuggling shape: ${name}`, () => {
    const bytes = bytesOf(head);
    const expected = outcome(bytes);
    assert(expected !== "need more", "it asks for more");
    assertEquals("kind" in expected ? REFUSALS[expected.kind].status : 200, status);
    if ("authority" in expected) assertEquals(expected.authority, "kubernetes.default.svc:443");
    expectHowever(head, expected);
  });
}

for (
  const [name, target, authority] of [
    ["a port", "fd00::1:6443", "[fd00::1]:6443"],
    ["capitals and zeros", "FD00:0:0::1:443", "[fd00::1]:443"],
    ["an IPv4-mapped address", "::ffff:10.0.0.1:443", "10.0.0.1:443"],
    ["what could be an address by itself", "1:2:3:4:5::6:7", "[1:2:3:4:5::6]:7"],
    ["brackets all the same", "[fd00::1]:6443", "[fd00::1]:6443"],
    ["a name", "a:6443", "a:6443"],
  ] as const
) {
  Deno.test(`ConnectRequestParser accepts IPv6 without brackets where it is told to: ${name}`, () => {
    const text = head(`CONNECT ${target} HTTP/1.1`, `Host: ${target}`);
    const expected = { authority, headBytes: text.length };
    assertEquals(outcome(bytesOf(text), undefined, true), expected);
    assertEquals(outcome(bytesOf(text), byteByByte(bytesOf(text)), true), expected);
    // Nor does one that has been accepted before change what the next parser takes.
    const isStrict = target.includes("[") || !target.includes("::");
    assertEquals("authority" in (outcome(bytesOf(text)) as object), isStrict);
  });
}

for (
  const [name, target] of [
    ["no port", "fd00::1"],
    ["a loopback address without a port", "::1"],
    ["eight groups", "1:2:3:4:5:6:7:8"],
    ["an empty port", "fd00::1:"],
    ["port 0", "fd00::1:0"],
    ["a port over 65535", "fd00::1:65536"],
    ["a port with a zero in front", "fd00::1:0443"],
    ["a zone", "fe80::1%eth0:6443"],
    ["one bracket", "[fd00::1:6443"],
    ["the other bracket", "fd00::1]:6443"],
    ["two runs of zeros", "fd00::1::1:6443"],
  ] as const
) {
  Deno.test(`ConnectRequestParser refuses IPv6 without brackets and with ${name}`, () => {
    const text = head(`CONNECT ${target} HTTP/1.1`, `Host: ${target}`);
    const message = "the request target is not host:port";
    assertEquals(outcome(bytesOf(text), undefined, true), { kind: "malformed_head", message });
  });
}

Deno.test("ConnectRequestParser gives the values of all Proxy-Authorization fields", () => {
  const valuesIn = (...fields: string[]) => {
    const bytes = bytesOf(head(LINE, HOST, ...fields) + TUNNEL);
    const { proxyAuthorization } = new ConnectRequestParser().parse(bytes)!;
    return proxyAuthorization.map((value) => String.fromCharCode(...value));
  };
  assertEquals(valuesIn(), []);
  assertEquals(valuesIn("Authorization: a", "Proxy-Authorizations: b"), []);
  assertEquals(valuesIn("pRoXy-aUthorization: \t Basic eDp5 \t"), ["Basic eDp5"]);
  const several = ["Proxy-Authorization:", "X: 1", "Proxy-Authorization: Bearer \xff"];
  assertEquals(valuesIn(...several), ["", "Bearer \xff"]);
});

Deno.test("isHeadRequest() is whether the method is HEAD, as soon as it is there", () => {
  const rows: [string, boolean][] = [
    ["HEAD / HTTP/1.1\r\n", true],
    ["HEAD ", true],
    ["\r\n\r\nHEAD /", true],
    ["HEAD", false],
    ["head / HTTP/1.1", false],
    ["HEADS / HTTP/1.1", false],
    ["CONNECT a:1 HTTP/1.1\r\n\r\nHEAD ", false],
    ["\nHEAD ", false],
    ["", false],
    ["\r\n", false],
  ];
  for (const [text, expected] of rows) assertEquals(isHeadRequest(bytesOf(text)), expected, text);
});

Deno.test("ConnectRequestParser takes a field name of token characters only", () => {
  for (let byte = 0; byte < 256; byte++) {
    const char = String.fromCharCode(byte);
    if (char === ":") continue; // ends the name
    const result = outcome(bytesOf(head(LINE, HOST, `X${char}Y: a`)));
    assertEquals(
      typeof result === "object" && "authority" in result,
      /^[!#$%&'*+.^_`|~0-9A-Za-z-]$/.test(char),
      `byte ${byte}`,
    );
  }
});

Deno.test("ConnectRequestParser takes a field value without control characters only", () => {
  for (let byte = 0; byte < 256; byte++) {
    const result = outcome(bytesOf(head(LINE, HOST, `X: a${String.fromCharCode(byte)}b`)));
    const allowed = byte === 9 || byte >= 32 && byte !== 127;
    assertEquals(typeof result === "object" && "authority" in result, allowed, `byte ${byte}`);
  }
});

Deno.test("ConnectRequestParser asks for more after empty lines alone", () => {
  for (const text of ["\r", "\r\n", "\r\n\r\n", "\r\n\r"]) {
    assertEquals(outcome(bytesOf(text)), "need more", JSON.stringify(text));
  }
});

Deno.test("ConnectRequestParser asks for more until the last byte of the head", () => {
  const bytes = bytesOf(head(LINE, HOST, "X: a"));
  for (let end = 0; end < bytes.length; end++) {
    assertEquals(outcome(bytes.subarray(0, end)), "need more", `${end} bytes`);
  }
});

Deno.test("ConnectRequestParser refuses at the first byte that is one too many", () => {
  const tooLong = (name: string, text: string, least: number) => {
    const bytes = bytesOf(text);
    assertEquals(outcome(bytes.subarray(0, least - 1)), "need more", name);
    assert(outcome(bytes.subarray(0, least)) !== "need more", name);
  };
  tooLong("request line", "A".repeat(9_000), 8_193);
  tooLong("head", longHead(20_000), 16_384);
  tooLong("a field line that ends with the last byte", longHead(16_386).slice(0, -2), 16_384);
  tooLong("many fields", `${LINE}\r\n${"a:b\r\n".repeat(4_000)}`, 16_384);
});

Deno.test("ConnectRequestParser refuses at the first wrong byte, without waiting for the rest", () => {
  const rows: [string, string][] = [
    ["control byte", "CONNECT a\0"],
    ["byte outside ASCII", "\xff"],
    ["bare LF", `${LINE}\n`],
    ["bare CR", `${LINE}\rx`],
    ["method", "GET / HTTP/1.1\r\n"],
    ["version", "CONNECT a:1 HTTP/2.0\r\n"],
    ["target", "CONNECT a HTTP/1.1\r\n"],
    ["body", `${LINE}\r\nContent-Length: 1\r\n`],
  ];
  for (const [name, text] of rows) {
    const bytes = bytesOf(text);
    assertEquals(outcome(bytes.subarray(0, -1)), "need more", name);
    assert(typeof outcome(bytes) === "object", name);
  }
});

/** The bytes, and a count of how often one of them is looked at, in whatever way. */
function counted(bytes: Uint8Array, count: { reads: number }): Uint8Array {
  return new Proxy(bytes, {
    get(target, key) {
      if (typeof key === "string" && /^\d+$/.test(key)) {
        count.reads++;
        return target[Number(key)];
      }
      if (key === "subarray") {
        return (from?: number, to?: number) => counted(target.subarray(from, to), count);
      }
      const value: unknown = Reflect.get(target, key, target);
      if (typeof value !== "function") return value;
      return (...args: unknown[]) => {
        count.reads += target.length;
        return value.apply(target, args);
      };
    },
  });
}

function readsOf(bytes: Uint8Array, ends: readonly number[]): number {
  const count = { reads: 0 };
  const parser = new ConnectRequestParser();
  for (const end of ends) parser.parse(counted(bytes.subarray(0, end), count));
  return count.reads;
}

Deno.test("ConnectRequestParser looks at a byte no more often when it comes alone", () => {
  const rows: [string, string][] = [
    ["one long field", longHead(16_384)],
    ["many fields", head(LINE, HOST, ...Array<string>(3_000).fill("a:b"))],
    ["a long Host", head(LINE, `Host: ${"a".repeat(16_000)}`)],
  ];
  for (const [name, text] of rows) {
    const bytes = bytesOf(text);
    const whole = readsOf(bytes, [bytes.length]);
    assertEquals(readsOf(bytes, byteByByte(bytes)), whole, name);
    assertLessOrEqual(whole, 8 * bytes.length, name);
  }
});

Deno.test("ConnectRequestParser takes no longer for a Host that is made to be slow", () => {
  const fastestMs = (value: string) => {
    const bytes = bytesOf(head(LINE, `Host: ${value}`));
    const times = Array.from({ length: 5 }, () => {
      const startMs = performance.now();
      outcome(bytes);
      return performance.now() - startMs;
    });
    return Math.min(...times);
  };
  fastestMs("a"); // warm
  const plainMs = fastestMs("a".repeat(16_000));
  for (
    const [name, value] of [
      ["spaces within", `a${" ".repeat(16_000)}b`],
      ["spaces and a wrong byte", `${" ".repeat(16_000)}/`],
      ["letters and a wrong byte", `${"a".repeat(16_000)}/`],
      ["letters and spaces by turns", `${"a ".repeat(8_000)}/`],
    ] as const
  ) {
    // Quadratic time would be 100 times as much and more.
    assertLessOrEqual(fastestMs(value), 25 * Math.max(plainMs, 0.4), name);
  }
});
