// Security keys: the button that carries what to ask, the field that takes what was answered.
(() => {
  "use strict";

  const button = document.querySelector("[data-webauthn]");
  if (!button) return;
  const form = button.closest("form");
  const state = form.querySelector(".key-state");

  if (!window.PublicKeyCredential) {
    button.disabled = true;
    state.textContent = "这个浏览器或地址不支持安全密钥（须用 https 访问）";
    return;
  }
  button.addEventListener("click", ask);

  async function ask() {
    button.disabled = true;
    state.textContent = "请按浏览器的提示操作";
    try {
      const kind = button.dataset.webauthn;
      const publicKey = decoded(JSON.parse(button.dataset.options).publicKey);
      const credential = await navigator.credentials[kind]({ publicKey });
      form.querySelector("[name=credential]").value = JSON.stringify(encoded(credential));
      for (const one of form.querySelectorAll("[type=submit]")) one.disabled = true;
      form.submit();
    } catch {
      // Which of the many errors it was says nothing to whoever sits there.
      state.textContent = "没有完成，请重试";
      button.disabled = false;
    }
  }

  function decoded(options) {
    const listed = (some) => (some || []).map((one) => ({ ...one, id: bytes(one.id) }));
    const found = { ...options, challenge: bytes(options.challenge) };
    if (options.user) found.user = { ...options.user, id: bytes(options.user.id) };
    if (options.excludeCredentials) found.excludeCredentials = listed(options.excludeCredentials);
    if (options.allowCredentials) found.allowCredentials = listed(options.allowCredentials);
    return found;
  }

  function encoded(credential) {
    const response = {};
    for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
      if (credential.response[name]) response[name] = text(credential.response[name]);
    }
    return {
      id: credential.id,
      rawId: text(credential.rawId),
      type: credential.type,
      clientExtensionResults: credential.getClientExtensionResults(),
      response,
    };
  }

  function bytes(base64url) {
    const base64 = base64url.replaceAll("-", "+").replaceAll("_", "/");
    return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  }

  function text(buffer) {
    const letters = String.fromCharCode(...new Uint8Array(buffer));
    return btoa(letters).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  }
})();
