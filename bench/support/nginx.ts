// nginx.ts — nginx as upstream of the bench, and as a peer: one worker, keep-alive pools, TLS 1.3, JSON access log.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type MeshFiles, TLS_NAME } from './mesh-files.ts'
import { freePort, type Running, start, waitForPort } from './processes.ts'
import type { Scene, Side } from './sides.ts'

const NGINX = ['/usr/sbin/nginx', '/usr/bin/nginx', '/usr/local/sbin/nginx'].find((path) => existsSync(path))
export const hasNginx = NGINX !== undefined

export const BODY = 'thirty-six bytes of answer, exactly!'

/** Answers BODY on a plain port and on a mutual TLS port. */
export async function nginxUpstream(files: MeshFiles): Promise<{ plain: number; tls: number; running: Running }> {
  const [plain, tls] = [await freePort(), await freePort()]
  const running = await run(
    files,
    'upstream',
    `
    server {
      listen 127.0.0.1:${plain} backlog=1024;
      listen 127.0.0.1:${tls} ssl backlog=1024;
      ${tlsServer(files)}
      keepalive_requests 100000000;
      access_log off;
      location / { return 200 '${BODY}'; }
    }`,
    plain,
  )
  return { plain, tls, running }
}

export async function nginxSide(files: MeshFiles, scene: Scene): Promise<Side> {
  const front = await freePort()
  if (scene.hops === 'one') {
    const running = await run(files, `one-${front}`, hopOut(files, front, scene.tlsUpstream), front)
    return { name: 'nginx', port: front, pids: [running.pid], stop: () => running.stop() }
  }
  const middle = await freePort()
  const second = await run(files, `in-${middle}`, hopIn(files, middle, scene.plainUpstream), middle)
  const first = await run(files, `out-${front}`, hopOut(files, front, middle), front)
  return {
    name: 'nginx',
    port: front,
    pids: [first.pid, second.pid],
    async stop() {
      await first.stop()
      await second.stop()
    },
  }
}

/** Plain in → mutual TLS out. */
const hopOut = (files: MeshFiles, port: number, to: number): string => `
  upstream next { server 127.0.0.1:${to}; keepalive 512; keepalive_requests 100000000; }
  server {
    listen 127.0.0.1:${port} backlog=1024;
    keepalive_requests 100000000;
    location / {
      proxy_pass https://next;
      ${passOn}
      proxy_ssl_certificate ${files.caller.cert};
      proxy_ssl_certificate_key ${files.caller.key};
      proxy_ssl_trusted_certificate ${files.bundle};
      proxy_ssl_verify on;
      proxy_ssl_verify_depth 3;
      proxy_ssl_name ${TLS_NAME};
      proxy_ssl_protocols TLSv1.3;
    }
  }`

/** Mutual TLS in → plain out. */
const hopIn = (files: MeshFiles, port: number, to: number): string => `
  upstream next { server 127.0.0.1:${to}; keepalive 512; keepalive_requests 100000000; }
  server {
    listen 127.0.0.1:${port} ssl backlog=1024;
    ${tlsServer(files)}
    keepalive_requests 100000000;
    location / { proxy_pass http://next; ${passOn} }
  }`

const passOn = `
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_set_header X-Request-Id $request_id;
      proxy_next_upstream error timeout;`

const tlsServer = (files: MeshFiles): string => `
    ssl_certificate ${files.app.cert};
    ssl_certificate_key ${files.app.key};
    ssl_client_certificate ${files.bundle};
    ssl_verify_client on;
    ssl_verify_depth 3;
    ssl_protocols TLSv1.3;`

const LOG_FORMAT = `log_format access escape=json '{"start_time":"$time_iso8601","method":"$request_method",'
    '"path":"$uri","authority":"$host","protocol":"$server_protocol","response_code":$status,'
    '"bytes_received":$content_length,"bytes_sent":$body_bytes_sent,"duration":$request_time,'
    '"upstream_service_time":"$upstream_response_time","request_id":"$request_id","upstream_host":"$upstream_addr"}';`

async function run(files: MeshFiles, name: string, servers: string, port: number): Promise<Running> {
  const config = files.file(
    `nginx-${name}.conf`,
    `
worker_processes 1;
daemon off;
pid ${join(files.dir, `nginx-${name}.pid`)};
error_log ${join(files.dir, `nginx-${name}.error.log`)} error;
events { worker_connections 4096; }
http {
  ${LOG_FORMAT}
  access_log ${join(files.dir, `nginx-${name}.access.log`)} access buffer=64k flush=1s;
  client_body_temp_path ${join(files.dir, `${name}-body`)};
  proxy_temp_path ${join(files.dir, `${name}-proxy`)};
  fastcgi_temp_path ${join(files.dir, `${name}-fastcgi`)};
  uwsgi_temp_path ${join(files.dir, `${name}-uwsgi`)};
  scgi_temp_path ${join(files.dir, `${name}-scgi`)};
  ${servers}
}`,
  )
  const running = start(NGINX!, ['-c', config, '-e', join(files.dir, `nginx-${name}.start.log`)])
  await waitForPort(port, running)
  return running
}
