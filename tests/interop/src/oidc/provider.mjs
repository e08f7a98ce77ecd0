// A real OpenID provider on loopback, and tokens that somebody forged.
import fs from "node:fs";
import https from "node:https";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
const [modules, dir, issuer, what] = process.argv.slice(2);
const require = createRequire(modules + "/");
const load = (name) => import(pathToFileURL(require.resolve(name)));
const jose = await load("jose");
const file = (name) => dir + "/" + name;

if (what === "keys") {
  const keys = [];
  for (const alg of ["ES256", "RS256"]) {
    const { privateKey } = await jose.generateKeyPair(alg, { extractable: true });
    keys.push({ ...(await jose.exportJWK(privateKey)), alg, use: "sig", kid: alg });
  }
  fs.writeFileSync(file("private.json"), JSON.stringify({ keys }));
} else if (what === "forge") {
  const [es, rs] = JSON.parse(fs.readFileSync(file("private.json"))).keys;
  const now = Math.floor(Date.now() / 1000);
  const claims = { iss: issuer, aud: "mail.demo.test", sub: "x", iat: now, exp: now + 3600, scope: "mail",
    email: "alice@demo.test", email_verified: true };
  const sign = async (jwk, change = {}, header = {}) =>
    new jose.SignJWT({ ...claims, ...change }).setProtectedHeader({ alg: jwk.alg, kid: jwk.kid, ...header })
      .sign(await jose.importJWK(jwk, jwk.alg));
  const stranger = { ...(await jose.exportJWK((await jose.generateKeyPair("ES256", { extractable: true })).privateKey)), alg: "ES256", kid: "ES256" };
  const pem = await jose.exportSPKI(await jose.importJWK({ kty: rs.kty, n: rs.n, e: rs.e, alg: "RS256" }));
  const tokens = {
    expired: await sign(es, { exp: now - 3600 }),
    audience: await sign(es, { aud: "webshop.demo.test" }),
    key: await sign(stranger),
    none: new jose.UnsecuredJWT(claims).encode(),
    confused: await new jose.SignJWT(claims).setProtectedHeader({ alg: "HS256", kid: "RS256" }).sign(new TextEncoder().encode(pem)),
    unverified: await sign(es, { email_verified: false }),
    scope: await sign(es, { scope: "calendar" }),
    rsa: await sign(rs),
  };
  fs.writeFileSync(file("forged.json"), JSON.stringify(tokens));
} else {
  const { default: Provider } = await load("oidc-provider");
  const client = (client_id) => ({ client_id, client_secret: "secret", grant_types: ["client_credentials"], redirect_uris: [], response_types: [], scope: "mail" });
  const provider = new Provider(issuer, {
    jwks: JSON.parse(fs.readFileSync(file("private.json"))),
    clients: [client("alice"), client("nobody")],
    scopes: ["mail"],
    extraTokenClaims: (_, token) => ({ email: token.clientId + "@demo.test", email_verified: true }),
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => "urn:mail",
        getResourceServerInfo: () => ({ scope: "mail", audience: "mail.demo.test", accessTokenTTL: 600, accessTokenFormat: "jwt", jwt: { sign: { alg: "ES256" } } }),
      },
    },
  });
  const { hostname, port } = new URL(issuer);
  https.createServer({ key: fs.readFileSync(file("leaf.key")), cert: fs.readFileSync(file("leaf.pem")) }, provider.callback())
    .listen(Number(port), hostname, () => console.log("ready"));
}
