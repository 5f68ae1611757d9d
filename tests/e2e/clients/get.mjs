// Gets a URL of the API server with Node alone: the secret is a header of the CONNECT request.
import fs from "node:fs";
import http from "node:http";
import https from "node:https";
import process from "node:process";

const [proxyUrl, ca, token, url] = process.argv.slice(2);
const { hostname: host, port, username, password } = new URL(proxyUrl);
const server = new URL(url);
const credentials = btoa(`${username}:${password}`);

http.request({
  host,
  port,
  method: "CONNECT",
  path: `${server.hostname}:${server.port || 443}`,
  headers: username === "" ? {} : { "Proxy-Authorization": `Basic ${credentials}` },
}).on("connect", ({ statusCode, statusMessage }, socket) => {
  if (statusCode !== 200) throw new Error(`${statusCode} ${statusMessage}`);
  const headers = { Authorization: `Bearer ${token}` };
  https.get(url, { socket, agent: false, ca: fs.readFileSync(ca), headers }, (response) => {
    response.pipe(process.stdout);
  });
}).end();
