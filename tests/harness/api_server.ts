/** What answers probes: a server with TLS, as an API server is one. */
import type { Authority } from "../../lib/protocol/authority.ts";

/** The certificate authority that has signed the certificate of {@linkcode TlsServer}. */
export const CA = `-----BEGIN CERTIFICATE-----
MIIBejCCASGgAwIBAgIUFGjY1SLaej3Th6tc5Y3ReRZO/3QwCgYIKoZIzj0EAwIw
EjEQMA4GA1UEAwwHdGVzdCBDQTAgFw0yNjExMjYxODE0MzVaGA8yMTI2MTEwMjE4
MTQzNVowEjEQMA4GA1UEAwwHdGVzdCBDQTBZMBMGByqGSM49AgEGCCqGSM49AwEH
A0IABOIxfYFsn2hbsRmL0VSBhr3+9vKhw8pQs34QcTDbfJ0NuVTgphqJumZI/ERD
tW4jkBTq1oVIRFOjsP81t8vdlBKjUzBRMB0GA1UdDgQWBBQKESMl6V/dn7xcfSMt
/2TrIJXpqDAfBgNVHSMEGDAWgBQKESMl6V/dn7xcfSMt/2TrIJXpqDAPBgNVHRMB
Af8EBTADAQH/MAoGCCqGSM49BAMCA0cAMEQCIAlTRsKHLVV9O/ahIbc1G/kAkGvW
xUuUy5ZGez4LgSBfAiBvrD4knPnOejurVQ9FP+faJnVNdJbpIa4I2+SWcBIRmQ==
-----END CERTIFICATE-----
`;
/** Another one, which has not. */
export const OTHER_CA = `-----BEGIN CERTIFICATE-----
MIIBgjCCASegAwIBAgIUYXySZwSF1TrkkpDbznip/mpfPPIwCgYIKoZIzj0EAwIw
FTETMBEGA1UEAwwKYW5vdGhlciBDQTAgFw0yNjExMjYxODE0MzVaGA8yMTI2MTEw
MjE4MTQzNVowFTETMBEGA1UEAwwKYW5vdGhlciBDQTBZMBMGByqGSM49AgEGCCqG
SM49AwEHA0IABF7ymxA/+u4Dld73x/44bd5vSCXJGHyW2wljBZy7lEVBQ7s+GIzH
2hZOAbCfQ9m2DKp0dIqj67c3qsooCvc3/BKjUzBRMB0GA1UdDgQWBBSaVFRHp4u6
LzZspeF2y1DwrpG7KzAfBgNVHSMEGDAWgBSaVFRHp4u6LzZspeF2y1DwrpG7KzAP
BgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0kAMEYCIQC1QmVd9afmoyR549tr
erZbES/3T2dqFP1OiYyOc88OzAIhAO0XiJZ7sb3GTqZ64nUga02tz4cAeb/9PUn1
M9A0vaMj
-----END CERTIFICATE-----
`;
// For the tests alone, valid for a hundred years: signed for kubernetes.default.svc.
const CERT = `-----BEGIN CERTIFICATE-----
MIIBlTCCATqgAwIBAgIUK9AmFT1BRQM2YzLI6YkUSIlgSw4wCgYIKoZIzj0EAwIw
EjEQMA4GA1UEAwwHdGVzdCBDQTAgFw0yNjExMjYxODE0MzVaGA8yMTI2MTEwMjE4
MTQzNVowGTEXMBUGA1UEAwwOa3ViZS1hcGlzZXJ2ZXIwWTATBgcqhkjOPQIBBggq
hkjOPQMBBwNCAATqVmtUFAP5VmN/IOW52JDyut4xZySmOtzPo5Ew3LOX1UReVrZG
z9G68WNK1R8FHJUD4twXlkgYoNU5gVK7kCDKo2UwYzAhBgNVHREEGjAYghZrdWJl
cm5ldGVzLmRlZmF1bHQuc3ZjMB0GA1UdDgQWBBQfthPoQ3hmF+2jQxQqGYBMwLzG
5zAfBgNVHSMEGDAWgBQKESMl6V/dn7xcfSMt/2TrIJXpqDAKBggqhkjOPQQDAgNJ
ADBGAiEAwRKKkXhOXsAIlPBWyydDsw+cBkdEkVg1xVwFWzT4zgQCIQC/jEijlU4k
VYKpA6HFxl3z+iEtBwikwlzryhsm27qn/w==
-----END CERTIFICATE-----
`;
const KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgsZus9bNucAv0J9Pw
ulcrXiYH2Z1mzD0V9MqspudBFpWhRANCAATqVmtUFAP5VmN/IOW52JDyut4xZySm
OtzPo5Ew3LOX1UReVrZGz9G68WNK1R8FHJUD4twXlkgYoNU5gVK7kCDK
-----END PRIVATE KEY-----
`;

/** Answers each request, whatever it is, with a status, and keeps what was asked. */
export class TlsServer implements AsyncDisposable {
  status: number;
  /** The requests, whole. */
  readonly requests: string[] = [];
  /** Handshakes that were broken off or failed. */
  handshakeErrors = 0;
  readonly #listener: Deno.TlsListener;
  readonly #served: Promise<void>;
  #statusOnce: number | undefined;

  constructor(status = 200, { hostname = "127.0.0.1", port = 0 } = {}) {
    this.status = status;
    const alpnProtocols = ["h2", "http/1.1"];
    this.#listener = Deno.listenTls({ hostname, port, cert: CERT, key: KEY, alpnProtocols });
    this.#served = this.#serve();
  }

  get authority(): Authority {
    const { hostname, port } = this.#listener.addr as Deno.NetAddr;
    return { host: hostname, port };
  }

  /** Answers the next request, and that alone, with another status. */
  answerOnce(status: number): void {
    this.#statusOnce = status;
  }

  async #serve(): Promise<void> {
    const answers = [];
    for (;;) {
      const conn = await this.#listener.accept().catch(() => undefined);
      if (conn === undefined) break;
      answers.push(this.#answer(conn));
    }
    await Promise.all(answers);
  }

  async #answer(conn: Deno.TlsConn): Promise<void> {
    using _conn = conn;
    try {
      await conn.handshake();
    } catch {
      this.handshakeErrors++;
      return;
    }
    try {
      const buffer = new Uint8Array(4096);
      const count = await conn.read(buffer) ?? 0;
      this.requests.push(new TextDecoder().decode(buffer.subarray(0, count)));
      const status = this.#statusOnce ?? this.status;
      this.#statusOnce = undefined;
      const head = `HTTP/1.1 ${status} Whatever\r\nContent-Length: 2\r\nConnection: close\r\n\r\n`;
      await conn.write(new TextEncoder().encode(`${head}ok`));
      await conn.closeWrite();
    } catch {
      // The client has gone.
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    await this.#served;
  }
}
