/** An API server on this host that is down: a dial to its port must not come out at itself. */
import { assertNotEquals } from "@std/assert";
import { getAvailablePort } from "@std/net/get-available-port";
import { candidateOf, Dial } from "../../lib/proxy/dial.ts";
import { Resolver } from "../../lib/proxy/resolver.ts";
import { test } from "../harness/test.ts";

/** Linux goes through all ports for clients, of which there are 28,000, every second one first. */
const DIALS = 60_000;

test("a dial to a port where nobody listens is refused, from whichever port it comes", async () => {
  // Linux lets clients connect from even ports and hands out odd ones to listen on.
  const authority = { host: "127.0.0.1", port: getAvailablePort() & ~1 };
  const context = { resolver: new Resolver(), timeoutMs: 0, isSelf: () => false, onAttempt() {} };
  for (let i = 0; i < DIALS; i++) {
    const dial = new Dial([candidateOf(authority)], context);
    const dialled = await dial.connected.catch(() => undefined);
    if (dialled === undefined) continue;
    // Another program may have begun to listen there.
    const { port } = dialled.conn.localAddr as Deno.NetAddr;
    dialled.conn.close();
    assertNotEquals(port, authority.port);
  }
});
