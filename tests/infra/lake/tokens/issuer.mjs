// An OpenID provider for the tests of tokens: npm's `oidc-provider` with clients, storages and a trusted issuer.
// Usage: node issuer.mjs '{"port": 1, "secret": "...", "trusted": ["http://127.0.0.1:2"], "packages": "/folder"}'
import { createRequire } from "node:module";
import { createServer } from "node:http";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const { port, secret, trusted, packages } = JSON.parse(process.argv[2]);
const require = createRequire(join(packages, "package.json"));
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const { default: Provider, errors } = await load("oidc-provider");
const { createRemoteJWKSet, exportJWK, generateKeyPair, jwtVerify } = await load("jose");

const EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange";
const STORAGE = "https://storage.example";
// Storages by the seconds that their tokens last.
const LIFE = { [STORAGE]: 600, "https://brief.example": 5, "https://minute.example": 61 };
const SCOPES = /^(storage\.(read|modify|create):\/[^ ]*|openid|offline_access)$/;
const GRANTED = ["read", "modify", "create"].map((name) => `storage.${name}:/rain`).join(" ");

// Issuers whose tokens were exchanged for a token, the first one first.
const origins = new WeakMap();
const { privateKey } = await generateKeyPair("RS256", { extractable: true });
const client = (id, grants, method = "client_secret_basic") => ({
  client_id: id,
  client_secret: secret,
  grant_types: grants,
  redirect_uris: grants.includes("authorization_code") ? ["https://client.example/back"] : [],
  response_types: grants.includes("authorization_code") ? ["code"] : [],
  token_endpoint_auth_method: method,
});

const server = (ctx, resource) => {
  if (!(resource in LIFE)) throw new errors.InvalidTarget();
  const asked = (ctx.oidc.params.scope ?? GRANTED).split(" ").filter((scope) => SCOPES.test(scope));
  return {
    scope: [...asked, ...GRANTED.split(" ")].join(" "),
    audience: resource,
    accessTokenTTL: LIFE[resource],
    accessTokenFormat: "jwt",
    jwt: { sign: { alg: "RS256" } },
  };
};

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    client("robot", ["client_credentials"]),
    client("poster", ["client_credentials"], "client_secret_post"),
    client("person", ["authorization_code", "refresh_token"]),
    client("exchanger", [EXCHANGE]),
  ],
  jwks: { keys: [{ ...(await exportJWK(privateKey)), alg: "RS256", use: "sig", kid: "one" }] },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  rotateRefreshToken: true,
  extraTokenClaims: (_, token) => (origins.has(token) ? { origin: origins.get(token) } : undefined),
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => STORAGE,
      useGrantedResource: () => true,
      getResourceServerInfo: server,
    },
  },
});

const exchange = async (ctx, next) => {
  const { scope, resource, subject_token: subject } = ctx.oidc.params;
  let origin;
  for (const issuer of trusted) {
    const keys = createRemoteJWKSet(new URL(`${issuer}/jwks`));
    const known = await jwtVerify(subject, keys, { issuer }).catch(() => undefined);
    if (known) origin = known.payload.origin ? `${known.payload.origin} ${issuer}` : issuer;
  }
  if (!origin) throw new errors.InvalidGrant("subject token");
  const token = new provider.ClientCredentials({ client: ctx.oidc.client, scope });
  origins.set(token, origin);
  token.resourceServer = new provider.ResourceServer(resource ?? STORAGE, server(ctx, resource ?? STORAGE));
  ctx.body = {
    access_token: await token.save(),
    issued_token_type: "urn:ietf:params:oauth:token-type:access_token",
    token_type: token.tokenType,
    expires_in: token.expiration,
    scope,
  };
  await next?.();
};
const parameters = ["subject_token", "subject_token_type", "requested_token_type", "audience", "resource", "scope"];
provider.registerGrantType(EXCHANGE, exchange, parameters);

const signedIn = async () => {
  const grant = new provider.Grant({ accountId: "ada", clientId: "person" });
  grant.addOIDCScope("openid offline_access");
  grant.addResourceScope(STORAGE, GRANTED);
  const refresh = new provider.RefreshToken({
    accountId: "ada",
    client: await provider.Client.find("person"),
    grantId: await grant.save(),
    gty: "authorization_code",
    resource: STORAGE,
    scope: `openid offline_access ${GRANTED}`,
  });
  return refresh.save();
};

// How many tokens were given, and a way to sign in without a browser: for tests alone.
provider.on("server_error", (_, error) => console.error(error));
let given = 0;
provider.on("grant.success", () => (given += 1));
const callback = provider.callback();
createServer(async (request, response) => {
  if (request.url === "/test/given") return response.end(String(given));
  if (request.url === "/test/sign-in") return response.end(await signedIn());
  return callback(request, response);
}).listen(port, "127.0.0.1");
