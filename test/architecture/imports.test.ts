/** Who may import whom, and how the sources are kept readable. */
import { readdirSync, readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import path from "node:path";
import ts from "typescript";
import { describe, expect, it } from "vitest";

const FOLDERS = ["bin", "functions", "infra", "shared"];
const files = FOLDERS.flatMap((folder) =>
  readdirSync(folder, { recursive: true }).map((name) => path.join(folder, String(name))),
)
  .filter((name) => name.endsWith(".ts"))
  .sort();

interface Source {
  readonly file: string;
  readonly tree: ts.SourceFile;
  /** Files of the project, relative to its root. */
  readonly local: string[];
  /** Names of packages; those of Node begin with `node:`. */
  readonly packages: string[];
}

const sources: Source[] = files.map((file) => {
  const tree = ts.createSourceFile(file, readFileSync(file, "utf8"), ts.ScriptTarget.Latest, true);
  const specifiers: string[] = [];
  const visit = (node: ts.Node): void => {
    if ((ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) && node.moduleSpecifier !== undefined) {
      specifiers.push((node.moduleSpecifier as ts.StringLiteral).text);
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      const [argument] = node.arguments;
      if (argument !== undefined && ts.isStringLiteral(argument)) specifiers.push(argument.text);
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
      specifiers.push((node.argument.literal as ts.StringLiteral).text);
    }
    ts.forEachChild(node, visit);
  };
  visit(tree);
  const isLocal = (specifier: string): boolean => specifier.startsWith(".");
  return {
    file,
    tree,
    local: specifiers.filter(isLocal).map((specifier) => path.join(path.dirname(file), specifier)),
    packages: specifiers.filter((specifier) => !isLocal(specifier)),
  };
});

/** What a folder may import of the project (beginnings of paths, itself aside) and of npm. The longest folder counts. */
const RULES: Record<string, { readonly local: readonly string[]; readonly packages: readonly string[] }> = {
  "shared/oci": {
    local: [],
    packages: ["hash-wasm", "hash-wasm/dist/sha256.umd.min.js", "hash-wasm/dist/sha512.umd.min.js"],
  },
  "shared/storage": { local: [], packages: [] },
  "shared/storage/s3": {
    local: ["shared/storage/"],
    packages: ["@aws-sdk/client-s3", "@aws-sdk/s3-request-presigner"],
  },
  "shared/registry": {
    local: ["shared/oci/", "shared/storage/driver.ts", "shared/storage/concurrency.ts", "shared/storage/json.ts"],
    packages: ["zod"],
  },
  "shared/gc": {
    local: [
      ...[
        "shared/oci/",
        "shared/registry/",
        "shared/storage/driver.ts",
        "shared/storage/concurrency.ts",
        "shared/storage/json.ts",
      ],
      ...["shared/storage/limited.ts", "shared/storage/paced.ts", "shared/storage/observed.ts"],
      "shared/storage/as-error.ts",
    ],
    packages: ["zod"],
  },
  "shared/verify": {
    local: [
      ...["shared/oci/", "shared/registry/", "shared/storage/driver.ts", "shared/storage/concurrency.ts"],
      ...["shared/gc/blob-table.ts", "shared/gc/columns.ts", "shared/gc/under-marks.ts"],
    ],
    packages: [],
  },
  "shared/auth": { local: ["shared/reloading/reloading.ts"], packages: ["bcryptjs"] },
  "shared/reloading": { local: [], packages: ["@aws-sdk/client-s3"] },
  "shared/users": { local: ["shared/auth/htpasswd.ts", "shared/reloading/aws.ts"], packages: ["bcryptjs"] },
  "shared/telemetry": { local: [], packages: ["prom-client", "sonic-boom"] },
  "shared/config": {
    local: ["shared/storage/s3/settings.ts", "shared/oci/name-pattern.ts"],
    packages: ["yaml", "zod"],
  },
  "shared/doctor": { local: [], packages: ["@aws-sdk/client-s3"] },
  "functions/registry/handlers": {
    local: ["functions/registry/", "shared/oci/", "shared/registry/", "shared/storage/driver.ts"],
    packages: [],
  },
  "functions/registry": { local: ["shared/"], packages: ["hono", "@hono/node-server", "aws-lambda"] },
  "functions/gc": {
    local: ["functions/registry/compose.ts", ...["config", "gc", "registry", "telemetry"].map((it) => `shared/${it}/`)],
    packages: [],
  },
  "functions/secrets": { local: [], packages: ["@aws-sdk/client-ssm"] },
  bin: {
    local: [
      ...["functions/", "shared/config/", "shared/doctor/", "shared/gc/", "shared/registry/", "shared/storage/"],
      ...["shared/reloading/aws.ts", "shared/telemetry/", "shared/users/", "shared/verify/"],
    ],
    packages: ["@aws-sdk/client-ssm"],
  },
  infra: { local: ["shared/config/"], packages: ["aws-cdk-lib", "aws-cdk-lib/*", "cdk-nag", "constructs"] },
};

const folderOf = (file: string): string =>
  Object.keys(RULES)
    .filter((folder) => file.startsWith(`${folder}/`))
    .sort((a, b) => b.length - a.length)[0] ?? "";

/** Whether a package is among those named; `name/*` stands for all its parts. */
const isAllowed = (name: string, allowed: readonly string[]): boolean =>
  allowed.includes(name) || allowed.includes(`${name.split("/")[0] ?? ""}/*`);

describe("imports", () => {
  it("every source belongs to a folder with rules", () => {
    expect(sources.filter(({ file }) => folderOf(file) === "").map(({ file }) => file)).toEqual([]);
  });

  it.each(Object.entries(RULES))("of %s are those it may have", (folder, rule) => {
    const wrong = sources
      .filter(({ file }) => folderOf(file) === folder)
      .flatMap(({ file, local, packages }) => [
        ...local
          .filter(
            (target) => !target.startsWith(`${folder}/`) && !rule.local.some((allowed) => target.startsWith(allowed)),
          )
          .map((target) => `${file} imports ${target}`),
        ...packages
          .filter((name) => !name.startsWith("node:") && !isAllowed(name, rule.packages))
          .map((name) => `${file} imports the package ${name}`),
      ]);
    expect(wrong).toEqual([]);
  });

  it("of Node's own modules say so, and of files have their ending", () => {
    for (const { file, local, packages } of sources) {
      expect(
        packages.filter((name) => builtinModules.includes(name)),
        file,
      ).toEqual([]);
      expect(
        local.filter((target) => !files.includes(target)),
        file,
      ).toEqual([]);
    }
  });

  it("run in no circle", () => {
    const graph = new Map(sources.map(({ file, local }) => [file, local]));
    const done = new Set<string>();
    const visit = (file: string, trail: readonly string[]): void => {
      expect(trail.includes(file), [...trail, file].join(" -> ")).toBe(false);
      if (done.has(file)) return;
      for (const target of graph.get(file) ?? []) visit(target, [...trail, file]);
      done.add(file);
    };
    for (const { file } of sources) visit(file, []);
  });

  it("of the registry never name a host, a framework or HTTP, and the SDK only in the driver for S3", () => {
    const wrong = sources.filter(
      ({ file, packages }) =>
        /^shared\/(oci|registry|storage)\//.test(file) &&
        packages.some(
          (name) =>
            /^(node:(http|https|http2|net)|hono|@hono|aws)/.test(name) ||
            (name.startsWith("@aws") && !file.startsWith("shared/storage/s3/")),
        ),
    );
    expect(wrong.map(({ file }) => file)).toEqual([]);
  });
});

describe("sources", () => {
  it("have at most 450 lines", () => {
    expect(sources.filter(({ tree }) => tree.getLineStarts().length > 450).map(({ file }) => file)).toEqual([]);
  });

  /** Names that say all there is to say, and that more words would only repeat. */
  const CLEAR = new Set(
    [
      "algorithmOf hexOf DigestAlgorithm isManifestMediaType isIndex isNonDistributable isSchema1 Hasher ResumableHasher",
      "OCI_INDEX DOCKER_MANIFEST DOCKER_MANIFEST_LIST ManifestMediaType PutCondition ListedObject ListOptions ObjectInfo",
      "StorageDriver StoredObject MemoryDriver FilesystemDriver layout LogConfig StorageConfig AuthConfig HttpConfig",
      "HealthConfig ValidationConfig FileCheck HttpCheck TcpCheck Target App AppParts ApiRequest Precondition NamePage",
      "UploadTarget DraftFolder FileInfo ReadAnswers Batch Answers ConfigSource codeOf",
      // Node's own calls under their own names, and sections of the configuration under theirs.
      "open close read writev write fsync fdatasync rename link unlink stat readdir fstat",
      "readAuth health readHealth debug http logLevel log readLog storage tls validation readValidation",
    ].flatMap((names) => [names, ...names.split(" ")]),
  );

  it("say of every exported symbol what it is for", () => {
    const silent = sources.flatMap(({ file, tree }) =>
      tree.statements
        .filter(
          (statement) =>
            ts.canHaveModifiers(statement) &&
            (ts.getModifiers(statement) ?? []).some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword),
        )
        .filter((statement) => ts.getJSDocCommentsAndTags(statement).length === 0)
        .flatMap((statement) =>
          ts.isVariableStatement(statement)
            ? statement.declarationList.declarations.flatMap(({ name }) => name.getText().match(/\w+/g) ?? [])
            : [(statement as ts.DeclarationStatement).name?.getText() ?? "?"],
        )
        .filter((name) => !CLEAR.has(name))
        .map((name) => `${file}: ${name}`),
    );
    expect(silent).toEqual([]);
  });
});
