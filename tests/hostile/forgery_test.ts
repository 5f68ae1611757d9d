/** Nothing that a client sends comes back in an answer, begins a log line or becomes a label. */
import { assertEquals, assertMatch, assertNotMatch } from "@std/assert";
import { ESTABLISHED, TestUpstream } from "../harness/peers.ts";
import { eventually, test } from "../harness/test.ts";
import { echo } from "../harness/crowd.ts";
import { ProxyProcess } from "../harness/process.ts";

/** Stands in every attempt; nothing of ours has it. */
const MARK = "zqxj";
const MARKED = new RegExp(MARK, "i");
/** What could break out of a line, a string, a header field or a label. */
const BREAKS = [
  "\r\n",
  "\n",
  "\r",
  '"',
  "\\",
  '"}\n{"level":"error","msg":"forged"}\n',
  "\r\nX-Forged: 1\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
  '"} 1\nforged_total{x="',
  "\u001b[2J\u001b]0;x\u0007",
  "\0",
  "\u009b1m",
  "\u2028",
  "é𝕏",
  "%0d%0a",
  "${jndi:ldap://x}",
  "<script>",
];

/** Where in a head it can stand. */
const PLACES: Readonly<Record<string, (evil: string) => string>> = {
  method: (evil) => `${evil} api:443 HTTP/1.1\r\nHost: api\r\n\r\n`,
  "end of the method": (evil) => `CONNECT${evil} api:443 HTTP/1.1\r\nHost: api\r\n\r\n`,
  host: (evil) => `CONNECT ${evil}:443 HTTP/1.1\r\nHost: api\r\n\r\n`,
  port: (evil) => `CONNECT api:${evil} HTTP/1.1\r\nHost: api\r\n\r\n`,
  "path of another method": (evil) => `GET /${evil} HTTP/1.1\r\nHost: api\r\n\r\n`,
  version: (evil) => `CONNECT api:443 HTTP/${evil}\r\nHost: api\r\n\r\n`,
  "field name": (evil) => `CONNECT api:443 HTTP/1.1\r\nHost: api\r\n${evil}: x\r\n\r\n`,
  "field value": (evil) => `CONNECT api:443 HTTP/1.1\r\nHost: api\r\nX: ${evil}\r\n\r\n`,
  "Host field": (evil) => `CONNECT api:443 HTTP/1.1\r\nHost: ${evil}\r\n\r\n`,
  "cut-off head": (evil) => `CONNECT api:443 HTTP/1.1\r\nHost: ${evil}`,
};

const ONE_RESPONSE =
  /^HTTP\/1\.1 (\d{3}) [ -~]+\r\n(?:[A-Za-z-]+: [ -~]*\r\n)+\r\n(?:[ -~]+\n)$|^HTTP\/1\.1 200 Connection established\r\n\r\n/;

/** Sends the head, ends the stream and gives the answer. */
async function ask(program: ProxyProcess, head: string): Promise<string> {
  using peer = await program.connect();
  await peer.write(head);
  await peer.closeWrite();
  return await peer.readText();
}

test("no byte of a client forges a log line, a header or a label, or comes back", async () => {
  using upstream = new TestUpstream();
  const serving = upstream.serve(echo);
  {
    const { host, port } = upstream.authority;
    await using program = await ProxyProcess.start({
      flags: [
        `--upstream=${host}:${port}`,
        "--allowed-hosts=api:443",
        "--log-level=debug",
        // What the upstream answers to a probe is no client's doing.
        "--probe=off",
      ],
    });
    const series = new Set((await program.metrics()).keys());
    let asked = 0;
    const sees = async (head: string, place: string) => {
      asked++;
      const answer = await ask(program, head);
      assertMatch(answer, ONE_RESPONSE, place);
      // Behind a 200 the upstream sends back what the tunnel has brought.
      assertNotMatch(answer.split(ESTABLISHED)[0]!, MARKED, place);
    };
    for (const [place, head] of Object.entries(PLACES)) {
      for (const text of BREAKS) {
        await sees(head(MARK + text + MARK), place);
        await sees(head(text + MARK), place);
      }
    }
    await sees(`CONNECT ${MARK}.x:443 HTTP/1.0\r\n\r\n`, "forbidden authority");
    // All values of all labels are there from the start.
    assertEquals(new Set((await program.metrics()).keys()), series);
    assertNotMatch(await program.admin("/metrics"), MARKED);
    const ends = ["tunnel", "refused", "no tunnel"];
    await eventually(
      "one line for each, and none of their own",
      () => program.log.filter(({ msg }) => ends.includes(`${msg}`)).length,
      asked,
    );
    // What is logged of a head is the authority, and only when it is one.
    const marked = program.log.filter((line) => MARKED.test(JSON.stringify(line)));
    assertEquals(marked.map(({ authority }) => authority), [`${MARK}.x:443`]);
    const known = ["listening", "dialling", ...ends];
    assertEquals(program.log.filter(({ msg }) => !known.includes(`${msg}`)), []);
  }
  upstream[Symbol.dispose]();
  await serving;
});
