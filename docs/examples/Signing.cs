using System;
using System.Collections.Generic;
using System.Security.Cryptography;
using System.Text;

namespace Hospital.Terminal
{
    /// <summary>
    /// Signs requests as a terminal: the three headers to send along (RFC 9421, tag face-terminal-v1).
    /// </summary>
    /// <remarks>
    /// Windows: make the key in CNG, where it stays, not exportable, in the TPM if there is one:
    /// <code>
    /// var key = CngKey.Create(CngAlgorithm.ECDsaP256, "face-terminal");  // later: CngKey.Open
    /// var ecdsa = new ECDsaCng(key);
    /// var signer = new TerminalSigner(keyId, data => ecdsa.SignData(data, HashAlgorithmName.SHA256));
    /// </code>
    /// </remarks>
    public sealed class TerminalSigner
    {
        private readonly string keyId;
        private readonly string alg;
        private readonly Func<byte[], byte[]> sign;

        /// <param name="sign">ECDSA over SHA-256 as r and s, 32 bytes each: what .NET returns, not DER</param>
        public TerminalSigner(string keyId, Func<byte[], byte[]> sign, string alg = "ecdsa-p256-sha256")
        {
            this.keyId = keyId;
            this.sign = sign;
            this.alg = alg;
        }

        /// <param name="path">as it will be sent, percent-escapes included</param>
        /// <param name="query">likewise, without the question mark</param>
        public IDictionary<string, string> Headers(
            string method, string path, string query, byte[] body, long? created = null, string nonce = null)
        {
            string digest = "sha-256=:" + Convert.ToBase64String(Sha256(body)) + ":";
            long at = created ?? DateTimeOffset.UtcNow.ToUnixTimeSeconds();
            string parameters = "(\"@method\" \"@path\" \"@query\" \"content-digest\");created=" + at
                + ";keyid=\"" + keyId + "\";alg=\"" + alg + "\";nonce=\"" + (nonce ?? FreshNonce())
                + "\";tag=\"face-terminal-v1\"";
            string signatureBase = "\"@method\": " + method + "\n\"@path\": " + path + "\n\"@query\": ?" + query
                + "\n\"content-digest\": " + digest + "\n\"@signature-params\": " + parameters;
            byte[] signature = sign(Encoding.UTF8.GetBytes(signatureBase));
            return new Dictionary<string, string>
            {
                { "Content-Digest", digest },
                { "Signature-Input", "sig1=" + parameters },
                { "Signature", "sig1=:" + Convert.ToBase64String(signature) + ":" },
            };
        }

        /// <summary>The keyid of a key: base64url without padding of SHA-256 over its SubjectPublicKeyInfo.</summary>
        /// <param name="subjectPublicKeyInfo">DER; .NET 5: ecdsa.ExportSubjectPublicKeyInfo()</param>
        public static string KeyId(byte[] subjectPublicKeyInfo)
        {
            string base64 = Convert.ToBase64String(Sha256(subjectPublicKeyInfo));
            return base64.TrimEnd('=').Replace('+', '-').Replace('/', '_');
        }

        private static byte[] Sha256(byte[] bytes)
        {
            using (var hash = SHA256.Create()) return hash.ComputeHash(bytes);
        }

        private static string FreshNonce()
        {
            var bytes = new byte[24];
            using (var random = RandomNumberGenerator.Create()) random.GetBytes(bytes);
            return Convert.ToBase64String(bytes);
        }
    }
}
