// What the simulator calls by a name, in the words of this page.

export const ENDPOINTS = {
  authinfo: "取调用凭证",
  users: "查用户信息",
  certificates: "下载平台证书",
  scan: "终端刷脸",
  userinfo: "终端识别",
  authorize: "终端授权",
  other: "其他",
};

export const PATHS = {
  authinfo: "POST /face/get_wxpayface_authinfo",
  users: "GET /v3/facemch/users/{face_sid}",
  certificates: "GET /v3/certificates",
};

export const SCREEN = ["scan", "userinfo", "authorize"];

export const DOCUMENTS = {
  1: "身份证",
  2: "护照",
  3: "军官证",
  4: "士兵证",
  5: "回乡证",
  6: "临时身份证",
  7: "户口簿",
  8: "警官证",
  9: "台胞证",
  10: "营业执照",
  11: "其他",
  12: "未公布的类型",
};

// The hospital's time, whatever this computer believes.
const CLOCK = new Intl.DateTimeFormat("zh-CN", {
  timeStyle: "medium",
  hourCycle: "h23",
  timeZone: "Asia/Shanghai",
});

export const clock = (seconds) => CLOCK.format(new Date(seconds * 1000));
export const milliseconds = (took) => (took < 10 ? took.toFixed(1) : String(Math.round(took)));
export const visible = (text) => text.replaceAll("\r", "␍").replaceAll("\n", "⏎");
