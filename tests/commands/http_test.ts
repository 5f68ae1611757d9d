import { assertEquals } from "@std/assert";
import { hasHead, hasResponse, parseResponse } from "../../lib/commands/diagnose/http.ts";

Deno.test("parseResponse() reads status, phrase, fields and content", () => {
  const text = "HTTP/1.1 502 API server refused\r\nServer: x\r\nContent-Length: 2\r\n\r\nno";
  assertEquals(parseResponse(text), {
    status: 502,
    phrase: "API server refused",
    fields: new Map([["server", "x"], ["content-length", "2"]]),
    body: "no",
  });
});

for (
  const [name, chunks, body] of [
    ["one chunk", "5\r\nhello\r\n0\r\n\r\n", "hello"],
    ["several chunks", "5\r\nhello\r\n6;a=b\r\n world\r\n0\r\n\r\n", "hello world"],
    ["a chunk that has line ends", "4\r\na\r\nb\r\n0\r\n\r\n", "a\r\nb"],
    ["a chunk that is cut", "ff\r\nhello", "hello"],
    ["no chunk", "0\r\n\r\n", ""],
    ["no chunks at all", "hello", ""],
  ] as const
) {
  Deno.test(`parseResponse() puts chunks together: ${name}`, () => {
    const head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    assertEquals(parseResponse(head + chunks)?.body, body);
  });
}

for (const text of ["", "SSH-2.0-x\r\n\r\n", "HTTP/1.1 200 OK\r\n", "HTTP/2 200 OK\r\n\r\n"]) {
  Deno.test(`parseResponse() takes for no response: ${JSON.stringify(text)}`, () => {
    assertEquals(parseResponse(text), undefined);
  });
}

Deno.test("hasHead() and hasResponse() say when there is enough", () => {
  for (
    const [text, head, response] of [
      ["", false, false],
      ["HTT", false, false],
      ["HTTP/1.1 200 OK\r\n", false, false],
      ["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nn", true, false],
      ["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno", true, true],
      ["HTTP/1.1 200 OK\r\n\r\nno", true, false],
      ["SSH-2.0", true, true],
    ] as const
  ) {
    assertEquals([hasHead(text), hasResponse(text)], [head, response], JSON.stringify(text));
  }
});
