// Builds the headers of what it is given, a case a line, with docs/examples/Signing.cs. Mono has no
// ECDSA: the signature is handed in, and what would be signed is told.
using System;
using System.Text;
using Hospital.Terminal;

static class Vectors
{
    static void Main()
    {
        Console.OutputEncoding = new UTF8Encoding(false);
        string line;
        while ((line = Console.ReadLine()) != null)
        {
            string[] given = line.Split('\t');
            string keyId = TerminalSigner.KeyId(Convert.FromBase64String(given[2]));
            string signed = null;
            var signer = new TerminalSigner(
                keyId,
                data =>
                {
                    signed = Convert.ToBase64String(data);
                    return Convert.FromBase64String(given[9]);
                },
                given[0]);
            var headers = signer.Headers(
                given[3], given[4], given[5], Convert.FromBase64String(given[6]), long.Parse(given[7]), given[8]);
            Console.WriteLine(string.Join("\t", keyId, headers["Content-Digest"], headers["Signature-Input"],
                headers["Signature"], signed));
        }
    }
}
