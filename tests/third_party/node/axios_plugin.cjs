// wechatpay-axios-plugin as its README and its certificate downloader use it. The task comes in
// as JSON, what became of it goes out as JSON.
const { readFileSync } = require('node:fs');
const { Aes: { AesGcm }, Rsa, Wechatpay } = require('wechatpay-axios-plugin');

const task = JSON.parse(readFileSync(0, 'utf8'));

const acts = {
  // The first answer is verified with a certificate that it brings itself. Their own downloader
  // puts it into the `certs` it passed in; 0.9 copies those, and keeps the copy in their place.
  async certificates() {
    const settings = { ...merchant(), certs: { any: undefined } };
    const wxpay = new Wechatpay(settings);
    const opened = {};
    const open = (body) => {
      JSON.parse(body).data.forEach(({ serial_no: serial, encrypt_certificate: sealed }) => {
        opened[serial] = AesGcm.decrypt(
          sealed.ciphertext, task.apiv3_key, sealed.nonce, sealed.associated_data,
        );
        settings.certs[serial] = Rsa.from(opened[serial], Rsa.KEY_TYPE_PUBLIC);
      });
      return body;
    };
    const { status } = await wxpay.v3.certificates.get({
      transformResponse: [open, ...wxpay.client.v3.defaults.transformResponse],
    });
    return { status, certificates: opened };
  },

  async users() {
    const wxpay = new Wechatpay({ ...merchant(), certs: task.certificates });
    const { status, data } = await wxpay.v3.facemch.users._face_sid_.get({
      params: task.params, face_sid: task.face_sid,
    });
    return { status, body: JSON.stringify(data) };
  },

  async authinfo() {
    const wxpay = new Wechatpay({ ...merchant(), certs: { any: undefined }, secret: task.apiv2_key });
    const { status, data } = await wxpay.v2.face.get_wxpayface_authinfo.post(task.fields);
    return { status, fields: data };
  },
};

function merchant() {
  return {
    baseURL: task.base_url, mchid: task.mch_id, serial: task.serial, privateKey: task.private_key,
  };
}

acts[task.act]()
  .catch(({ code, message, response }) => ({ code, message, refused: response && response.status }))
  .then((outcome) => process.stdout.write(JSON.stringify(outcome)));
