import { assertEquals, assertMatch } from "@std/assert";
import { checkReady } from "../../lib/commands/ready.ts";
import { formatAuthority } from "../../lib/protocol/authority.ts";
import { nobody, TestUpstream } from "../harness/peers.ts";
import { test } from "../harness/test.ts";

/** A server that gives one answer to everybody, and the head that it was sent. */
async function ask(answer: string, path = "/readyz") {
  using server = new TestUpstream();
  const asked = checkReady(`http://${formatAuthority(server.authority)}${path}`);
  const peer = await server.accept();
  let head = "";
  while (!head.endsWith("\r\n\r\n")) head += await peer.readText(1);
  await peer.write(answer);
  peer.close();
  return { head, why: await asked };
}

test("checkReady() finds nothing to say about a 200, and asks what it was told to ask", async () => {
  const { head, why } = await ask("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "/readyz?a=b");
  assertEquals(why, undefined);
  assertMatch(head, /^GET \/readyz\?a=b HTTP\/1\.0\r\nHost: 127\.0\.0\.1:\d+\r\n\r\n$/);
});

test("checkReady() gives status and body of another answer", async () => {
  const { why } = await ask("HTTP/1.1 503 Service Unavailable\r\n\r\n[-]shutdown failed: x\n");
  assertEquals(why, "503 [-]shutdown failed: x");
});

for (const answer of ["", "HTTP/1.1 302 Found\r\nLocation: /livez\r\n\r\n", "SSH-2.0-x\r\n"]) {
  test(`checkReady() is not content with ${JSON.stringify(answer)}`, async () => {
    assertMatch((await ask(answer)).why ?? "", /^(302|what answers does not speak HTTP)/);
  });
}

test("checkReady() says that nobody is there", async () => {
  const why = await checkReady(`http://${formatAuthority(nobody())}/readyz`);
  assertMatch(why ?? "", /refused/);
});

test("checkReady() gives up on who does not answer", async () => {
  using server = new TestUpstream();
  const asked = checkReady(`http://${formatAuthority(server.authority)}/readyz`);
  await server.accept();
  assertEquals(await asked, "no answer in 3 s");
});

/** The program's own command, against a server that says it is ready. */
async function program(env: Record<string, string>, args: (port: number) => string[]) {
  using server = new TestUpstream();
  const { port } = server.authority;
  void server.serve(async (peer) => {
    await peer.readText(4);
    await peer.write("HTTP/1.0 200 OK\r\n\r\nok");
    await peer.closeWrite();
    await peer.readAll();
  });
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-prompt", "-P=start", "main.ts", "ready", ...args(port)],
    env: { NO_COLOR: "1", ...Object.fromEntries(Object.entries(env).map(fill(port))) },
  }).output();
  return { code, stderr: new TextDecoder().decode(stderr) };
}

const fill = (port: number) => ([name, value]: [string, string]) => [
  name,
  value.replace("PORT", `${port}`),
];

test("ready asks the admin port of the environment, and ends with 0", async () => {
  const { code } = await program({ API_SERVER_PROXY_ADMIN_PORT: "PORT" }, () => []);
  assertEquals(code, 0);
});

test("ready goes where it is told, not through a proxy that the environment names", async () => {
  const dead = `http://${formatAuthority(nobody())}`;
  const env = { HTTP_PROXY: dead, http_proxy: dead, ALL_PROXY: dead };
  const { code } = await program(env, (port) => [`http://127.0.0.1:${port}/readyz`]);
  assertEquals(code, 0);
});

test("ready ends with 2 where the environment says that there is no admin port", async () => {
  const { code, stderr } = await program({ API_SERVER_PROXY_ADMIN_PORT: "off" }, () => []);
  assertEquals(code, 2);
  assertMatch(stderr, /^API_SERVER_PROXY_ADMIN_PORT "off": this proxy has no admin port; /);
});

for (const value of ["", "tcp://10.0.0.1:8119"]) {
  test(`ready takes ${JSON.stringify(value)} from the environment as no port`, async () => {
    const { code, stderr } = await program({ API_SERVER_PROXY_ADMIN_PORT: value }, () => []);
    if (code !== 0) assertMatch(stderr, /^http:\/\/127\.0\.0\.1:8119\/readyz: /);
  });
}

for (const url of ["nonsense", "https://127.0.0.1/readyz", "ftp://127.0.0.1/"]) {
  test(`ready ends with 2 and says what it takes: ${url}`, async () => {
    const { code, stderr } = await program({}, () => [url]);
    assertEquals(code, 2);
    assertMatch(stderr, /^usage: api-server-proxy ready \[URL\]/);
  });
}
