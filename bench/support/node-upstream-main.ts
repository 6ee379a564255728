// node-upstream-main.ts — process of node-upstream.ts: `PLAIN-PORT TLS-PORT CERT KEY BUNDLE`.

import { readFileSync } from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { BODY } from './nginx.ts'

const [plain, tls, cert, key, bundle] = process.argv.slice(2)
const answer: RequestListener = (_request, response) => {
  response.writeHead(200, { 'content-length': BODY.length })
  response.end(BODY)
}
createServer(answer).listen(Number(plain), '127.0.0.1')
createTlsServer(
  {
    cert: readFileSync(cert!),
    key: readFileSync(key!),
    ca: readFileSync(bundle!),
    requestCert: true,
    minVersion: 'TLSv1.3',
  },
  answer,
).listen(Number(tls), '127.0.0.1')
