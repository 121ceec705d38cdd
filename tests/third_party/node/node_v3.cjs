// wechatpay-node-v3 has its host written into it, so its HTTP layer is replaced the way it offers,
// createHttp(). It never verifies an answer on its own: verifySign() is called as its README does.
const { readFileSync } = require('node:fs');
const Pay = require('wechatpay-node-v3');

const OFFICIAL = 'https://api.mch.weixin.qq.com';

const task = JSON.parse(readFileSync(0, 'utf8'));
const pay = new Pay({
  appid: task.appid,
  mchid: task.mch_id,
  serial_no: task.serial, // left out, it is read from the certificate, and sent in lower case
  publicKey: Buffer.from(task.certificate),
  privateKey: Buffer.from(task.private_key),
  key: task.apiv3_key,
});

const http = {
  async get(url, headers) {
    const answer = await fetch(url.replace(OFFICIAL, task.base_url), { headers });
    const text = await answer.text();
    return { status: answer.status, text, data: JSON.parse(text), headers: answer.headers };
  },
};
pay.createHttp(http);

async function users() {
  const url = `${OFFICIAL}/v3/facemch/users/${task.face_sid}?${new URLSearchParams(task.params)}`;
  const { status, text, headers } = await http.get(
    url, pay.getHeaders(pay.buildAuthorization('GET', url)),
  );
  const said = (name) => headers.get(`wechatpay-${name}`);
  const verified = await pay.verifySign({
    timestamp: said('timestamp'),
    nonce: said('nonce'),
    serial: said('serial'),
    signature: said('signature'),
    body: text,
  });
  return { status, verified, body: text, certificates: Pay.certificates };
}

users()
  .catch(({ message }) => ({ message }))
  .then((outcome) => process.stdout.write(JSON.stringify(outcome)));
