import path from "node:path";
import { beforeAll, expect, test } from "vitest";
import { makeImage, type Image } from "../support/images.ts";
import { run } from "../support/process.ts";
import { pushImage } from "../support/push.ts";
import { tool } from "../support/tools.ts";
import { describeCells } from "./cell.ts";
import { ownEnvironment } from "./client.ts";

describeCells({ name: "cosign", family: "patch" }, (place, cell) => {
  let sign: (reference: string, ...options: string[]) => Promise<string>;
  let verify: (reference: string, ...options: string[]) => Promise<string>;
  let image: Image;
  let signed: string;

  beforeAll(async () => {
    const { server, folder, home } = place;
    const program = tool("cosign");
    const env = { ...(await ownEnvironment(home)), COSIGN_PASSWORD: "" };
    await run([program, "generate-key-pair"], { env, cwd: home });
    const registry = [
      ...(server.plainHttp ? ["--allow-http-registry"] : ["--registry-cacert", server.caFile ?? ""]),
      ...(server.user === undefined
        ? []
        : ["--registry-username", server.user.name, "--registry-password", server.user.password]),
    ];
    // Nothing outside is asked: no transparency log, no signing configuration.
    const offline = ["--use-signing-config=false", "--tlog-upload=false", "-y"];
    sign = async (reference, ...options) =>
      await run([program, "sign", "--key", "cosign.key", ...offline, ...registry, ...options, reference], {
        env,
        cwd: home,
      });
    const verifying = ["--key", "cosign.pub", "--insecure-ignore-tlog=true"];
    verify = async (reference, ...options) =>
      await run([program, "verify", ...verifying, ...registry, ...options, reference], { env, cwd: home });
    image = await makeImage(path.join(folder, "image"), { layers: [10_000] });
    await pushImage(server.api, "team/app", image, "v1");
    signed = `${server.host}/team/app@${image.descriptor.digest}`;
  });

  test("verifies nothing before it has signed", async () => {
    await expect(verify(signed)).rejects.toThrow();
  });

  test("signs as a referrer", async () => {
    const { api } = place.server;
    const log = await place.server.during(async () => await sign(signed));
    expect(log.filter(({ method }) => method === "PATCH").length).toBeGreaterThan(0);
    if (cell.signIn === "htpasswd") {
      expect(log.filter(({ status }) => status === 201).map(({ user }) => user)).not.toContain(undefined);
    }
    const { manifests } = (await api.json(`/v2/team/app/referrers/${image.descriptor.digest}`)) as {
      manifests: { digest: string; artifactType: string }[];
    };
    expect(manifests).toHaveLength(1);
    expect(manifests[0]?.artifactType).toContain("sigstore.bundle");
    expect(await api.tags("team/app")).toEqual(["v1"]);
  });

  test("verifies by the referrer", async () => {
    expect(await verify(signed)).toContain(image.descriptor.digest);
  });

  test("signs under a tag, in the old form, and verifies that", async () => {
    const { api } = place.server;
    const tag = `${image.descriptor.digest.replace(":", "-")}.sig`;
    await sign(signed, "--new-bundle-format=false");
    expect(await api.tags("team/app")).toEqual([tag, "v1"]);
    expect(await verify(signed, "--new-bundle-format=false")).toContain(image.descriptor.digest);
  });

  test("verifies nothing once the signatures are deleted", async () => {
    const { api } = place.server;
    const { manifests } = (await api.json(`/v2/team/app/referrers/${image.descriptor.digest}`)) as {
      manifests: { digest: string }[];
    };
    const old = await api.manifest("team/app", `${image.descriptor.digest.replace(":", "-")}.sig`);
    for (const digest of [old.digest, ...manifests.map((manifest) => manifest.digest)]) {
      await api.expect(202, "DELETE", `/v2/team/app/manifests/${digest}`);
    }
    await expect(verify(signed)).rejects.toThrow();
    await api.manifest("team/app", "v1");
  });
});
