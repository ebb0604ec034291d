/** What the stack promises, one after the other. */
import { describe, expect, it } from "vitest";
import { ofType, rights, synth, textOf, the, type Resource } from "./synth.ts";

const ARN = {
  certificate: "arn:aws:acm:eu-central-1:123456789012:certificate/12345678-1234-1234-1234-123456789012",
  certificateUs: "arn:aws:acm:us-east-1:123456789012:certificate/12345678-1234-1234-1234-123456789012",
  webAcl: "arn:aws:wafv2:us-east-1:123456789012:global/webacl/registry/12345678-1234-1234-1234-123456789012",
  key: "arn:aws:kms:eu-central-1:123456789012:key/12345678-1234-1234-1234-123456789012",
};
const VARIANTS = {
  default: {},
  cloudfront: { frontDoor: "cloudfront" },
  "cloudfront with a name and a web ACL": {
    frontDoor: "cloudfront",
    domainName: "registry.example.com",
    certificateArn: ARN.certificateUs,
    webAclArn: ARN.webAcl,
  },
  "cloudfront with downloads": { frontDoor: "cloudfront", downloads: "cloudfront" },
  domain: { domainName: "registry.example.com", certificateArn: ARN.certificate },
  "existing bucket": { bucketName: "our-images", bucketPrefix: "/registry/" },
  "existing bucket in another region": { bucketName: "our-images", bucketRegion: "eu-west-1", kmsKeyArn: ARN.key },
  kms: { kmsKeyArn: ARN.key },
  "read-only": { readOnly: "true", anonymousPull: "true", deletes: "false" },
  "all goes with it": { removalPolicy: "destroy", alarmEmail: "ops@example.com", name: "try" },
} as const;

const stacks = Object.fromEntries(
  Object.entries(VARIANTS).map(([name, settings]) => [name, synth(settings)]),
) as Record<keyof typeof VARIANTS, ReturnType<typeof synth>>;
const standard = stacks.default;

const functionOf = (stack: ReturnType<typeof synth>, name: string): Resource["Properties"] =>
  the(stack, "AWS::Lambda::Function", name).Properties;
const environmentOf = (stack: ReturnType<typeof synth>, name: string): Record<string, string> => {
  const { Variables } = functionOf(stack, name)["Environment"] as { Variables: Record<string, unknown> };
  return Object.fromEntries(Object.entries(Variables).map(([key, value]) => [key, textOf(value)]));
};
const uploadService = (stack: ReturnType<typeof synth>): Record<string, unknown> =>
  the(stack, "AWS::Lambda::WebFunctionRevision", "UploadFunctionRevision").Properties["ServiceConfig"] as Record<
    string,
    unknown
  >;
const outputsOf = ({ outputs }: ReturnType<typeof synth>): Record<string, string> =>
  Object.fromEntries(Object.entries(outputs).map(([name, { Value }]) => [name, textOf(Value)]));

describe.each(Object.entries(stacks))("%s", (_, stack) => {
  it("leaves no finding of the CDK's and of cdk-nag's without a reason", () => {
    expect(stack.findings).toEqual([]);
  });

  it("names every action, with no pattern", () => {
    const roles = Object.values(ofType(stack, "AWS::IAM::Role")).filter(
      ({ Properties }) => Properties["Policies"] !== undefined,
    );
    const actions = roles.flatMap(({ Properties }) =>
      JSON.stringify(Properties["Policies"]).match(/"[a-z0-9]+:[A-Z][A-Za-z]*\*?"/g),
    );
    expect(actions.length).toBeGreaterThan(20);
    expect(actions.filter((action) => action?.includes("*"))).toEqual([]);
    expect(Object.keys(ofType(stack, "AWS::IAM::Policy"))).toEqual([]);
  });

  it("lets nobody but the collector delete a blob", () => {
    for (const role of ["RegistryFunctionRole", "UploadFunctionRole", "SecretsFunctionRole", "CodeCopyRole"]) {
      const deletes = rights(stack, role).filter((right) => right.startsWith("s3:DeleteObject "));
      expect(deletes.filter((right) => !/\/docker\/registry\/v2\/(repositories|_catalog)\//.test(right))).toEqual([]);
    }
    expect(rights(stack, "CollectorFunctionRole")).toContainEqual(
      expect.stringMatching(/^s3:DeleteObject .*docker\/registry\/v2\/\*$/),
    );
  });

  it("lets nobody but the function for it write the secret, which others read", () => {
    const writers = [
      "RegistryFunctionRole",
      "UploadFunctionRole",
      "CollectorFunctionRole",
      "SecretsFunctionRole",
    ].filter((role) => rights(stack, role).some((right) => right.startsWith("ssm:PutParameter")));
    expect(writers).toEqual(["SecretsFunctionRole"]);
    for (const role of ["RegistryFunctionRole", "UploadFunctionRole"]) {
      expect(
        rights(stack, role)
          .filter((right) => right.startsWith("ssm:"))
          .map((right) => right.split("/").at(-1)),
      ).toEqual(["secret", "htpasswd"]);
    }
  });

  it("lists whole buckets: with a condition S3 would say 403 of what does not exist", () => {
    for (const role of ["RegistryFunctionRole", "UploadFunctionRole", "CollectorFunctionRole"]) {
      const statements = JSON.stringify(the(stack, "AWS::IAM::Role", role).Properties["Policies"]);
      expect(statements).not.toContain("s3:prefix");
      expect(rights(stack, role).filter((right) => right.startsWith("s3:ListBucket ")).length).toBeGreaterThan(0);
    }
  });
});

describe("storage", () => {
  const { Properties: storage, DeletionPolicy } = the(standard, "AWS::S3::Bucket", "Storage");

  it("is private, encrypted, versioned, and stays when the stack goes", () => {
    expect(storage).toMatchObject({
      PublicAccessBlockConfiguration: {
        BlockPublicAcls: true,
        BlockPublicPolicy: true,
        IgnorePublicAcls: true,
        RestrictPublicBuckets: true,
      },
      VersioningConfiguration: { Status: "Enabled" },
      BucketEncryption: {
        ServerSideEncryptionConfiguration: [{ ServerSideEncryptionByDefault: { SSEAlgorithm: "AES256" } }],
      },
    });
    expect(DeletionPolicy).toBe("Retain");
  });

  it("forgets what was deleted after the time to undo it, and what was never completed", () => {
    const rules = (storage["LifecycleConfiguration"] as { Rules: object[] }).Rules;
    expect(rules).toContainEqual({ NoncurrentVersionExpiration: { NoncurrentDays: 14 }, Status: "Enabled" });
    expect(rules).toContainEqual({ AbortIncompleteMultipartUpload: { DaysAfterInitiation: 7 }, Status: "Enabled" });
    expect(rules).toContainEqual({ ExpiredObjectDeleteMarker: true, Status: "Enabled" });
    expect(JSON.stringify(rules)).not.toContain("ExpirationInDays");
  });

  it("takes TLS only, of 1.2 at least, in each bucket", () => {
    const policies = Object.values(ofType(standard, "AWS::S3::BucketPolicy"));
    expect(policies).toHaveLength(3);
    for (const { Properties } of policies) {
      const text = JSON.stringify(Properties);
      expect(text).toContain('{"Bool":{"aws:SecureTransport":"false"}},"Effect":"Deny"');
      expect(text).toContain('{"NumericLessThan":{"s3:TlsVersion":1.2}},"Effect":"Deny"');
    }
  });

  it("keeps uploads in flight in a bucket without versions, where nothing gets old", () => {
    const { Properties } = the(standard, "AWS::S3::Bucket", "Uploads");
    expect(Properties["VersioningConfiguration"]).toBeUndefined();
    expect(Properties["LifecycleConfiguration"]).toEqual({
      Rules: [{ AbortIncompleteMultipartUpload: { DaysAfterInitiation: 7 }, ExpirationInDays: 7, Status: "Enabled" }],
    });
    for (const name of ["RegistryFunction", "CollectorFunction"]) {
      expect(environmentOf(standard, name)["REGISTRY_STORAGE_S3_UPLOADSBUCKET"]).toBe("<Uploads>");
    }
  });

  it("can be a bucket that is there: it is left as it is, and all lies below the prefix", () => {
    const stack = stacks["existing bucket"];
    expect(Object.keys(ofType(stack, "AWS::S3::Bucket"))).toEqual([
      expect.stringMatching(/^Uploads/),
      expect.stringMatching(/^Code/),
    ]);
    expect(environmentOf(stack, "RegistryFunction")).toMatchObject({
      REGISTRY_STORAGE_S3_BUCKET: "our-images",
      REGISTRY_STORAGE_S3_REGION: "<AWS::Region>",
      REGISTRY_STORAGE_S3_ROOTDIRECTORY: "registry",
    });
    const keys = rights(stack, "RegistryFunctionRole").filter((right) => right.includes(":::our-images/"));
    expect(keys.filter((right) => !right.includes("our-images/registry/docker/registry/v2/"))).toEqual([]);
  });

  it("keeps uploads beside the images where the bucket is in another region", () => {
    const stack = stacks["existing bucket in another region"];
    const environment = environmentOf(stack, "RegistryFunction");
    expect(environment["REGISTRY_STORAGE_S3_REGION"]).toBe("eu-west-1");
    expect(environment["REGISTRY_STORAGE_S3_UPLOADSBUCKET"]).toBeUndefined();
    expect(rights(stack, "UploadFunctionRole")).toContain(
      "s3:AbortMultipartUpload arn:<AWS::Partition>:s3:::our-images/docker/registry/v2/repositories/*/_uploads/*",
    );
  });

  it("is encrypted with a key of one's own, which each function may use through S3", () => {
    const stack = stacks.kms;
    for (const bucket of ["Storage", "Uploads"]) {
      expect(the(stack, "AWS::S3::Bucket", bucket).Properties["BucketEncryption"]).toEqual({
        ServerSideEncryptionConfiguration: [
          {
            BucketKeyEnabled: true,
            ServerSideEncryptionByDefault: { KMSMasterKeyID: ARN.key, SSEAlgorithm: "aws:kms" },
          },
        ],
      });
    }
    for (const role of ["RegistryFunctionRole", "UploadFunctionRole", "CollectorFunctionRole"]) {
      expect(rights(stack, role)).toContain(`kms:Decrypt ${ARN.key}`);
      expect(rights(stack, role)).toContain(`kms:GenerateDataKey ${ARN.key}`);
      expect(JSON.stringify(the(stack, "AWS::IAM::Role", role).Properties)).toContain(
        '"kms:ViaService":"s3.eu-central-1.amazonaws.com"',
      );
    }
    expect(environmentOf(stack, "CollectorFunction")).toMatchObject({
      REGISTRY_STORAGE_S3_ENCRYPT: "true",
      REGISTRY_STORAGE_S3_KEYID: ARN.key,
    });
  });

  it("goes with the stack where that is wanted, with what is in it", () => {
    const stack = stacks["all goes with it"];
    for (const { DeletionPolicy } of Object.values(ofType(stack, "AWS::S3::Bucket"))) {
      expect(DeletionPolicy).toBe("Delete");
    }
    expect(Object.keys(ofType(stack, "Custom::S3AutoDeleteObjects"))).toHaveLength(2);
    expect(rights(stack, "SecretsFunctionRole")).toContainEqual(expect.stringContaining("ssm:DeleteParameter"));
    expect(rights(standard, "SecretsFunctionRole").join()).not.toContain("DeleteParameter");
  });
});

describe("functions", () => {
  it("run the newest Node on arm64, each with a log that ends", () => {
    const own = ["RegistryFunction", "CollectorFunction", "SecretsFunction"];
    for (const name of own) {
      expect(functionOf(standard, name)).toMatchObject({
        Runtime: "nodejs24.x",
        Architectures: ["arm64"],
        Handler: "index.handler",
        LoggingConfig: { LogGroup: { Ref: expect.stringMatching(new RegExp(`^${name}Log`)) as string } },
      });
    }
    expect(
      the(standard, "AWS::Lambda::WebFunctionRevision", "UploadFunctionRevision").Properties["BuildConfig"],
    ).toMatchObject({
      RuntimeConfig: { Runtime: "nodejs24.x" },
    });
    for (const { Properties } of Object.values(ofType(standard, "AWS::Logs::LogGroup"))) {
      expect(Properties["RetentionInDays"]).toBe(30);
    }
  });

  it("answer before API Gateway gives up, and have all the time there is for a layer", () => {
    expect(functionOf(standard, "RegistryFunction")).toMatchObject({ Timeout: 29, MemorySize: 1769 });
    expect(uploadService(standard)["TimeoutSeconds"]).toBe(900);
    expect(functionOf(standard, "CollectorFunction")["Timeout"]).toBe(900);
  });

  it("are told where everything is", () => {
    expect(environmentOf(standard, "RegistryFunction")).toEqual({
      REGISTRY_STORAGE_S3_BUCKET: "<Storage>",
      REGISTRY_STORAGE_S3_REGION: "<AWS::Region>",
      REGISTRY_STORAGE_S3_UPLOADSBUCKET: "<Uploads>",
      REGISTRY_STORAGE_DELETE_ENABLED: "true",
      REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED: "false",
      REGISTRY_STORAGE_MAINTENANCE_GC_GRACE: "24h",
      REGISTRY_HTTP_SECRET: "ssm:/lading/registry/secret",
      REGISTRY_AUTH_HTPASSWD_REALM: "Lading",
      REGISTRY_AUTH_HTPASSWD_PATH: "ssm:/lading/registry/htpasswd",
      REGISTRY_HTTP_UPLOADS_HOST: "https://<UploadFunctionEndpoint>",
    });
    const uploads = uploadService(standard)["EnvironmentVariables"] as object;
    expect(Object.keys(uploads)).toEqual(
      Object.keys(environmentOf(standard, "RegistryFunction")).filter((key) => key !== "REGISTRY_HTTP_UPLOADS_HOST"),
    );
    expect(Object.keys(environmentOf(standard, "CollectorFunction"))).toEqual([
      "REGISTRY_STORAGE_S3_BUCKET",
      "REGISTRY_STORAGE_S3_REGION",
      "REGISTRY_STORAGE_S3_UPLOADSBUCKET",
      "REGISTRY_STORAGE_DELETE_ENABLED",
      "REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED",
      "REGISTRY_STORAGE_MAINTENANCE_GC_GRACE",
    ]);
  });

  it("of the Web Function are named by name: with an ARN CloudFormation cannot read the endpoint back", () => {
    for (const [type, id] of [
      ["AWS::Lambda::WebFunctionRevision", "UploadFunctionRevision"],
      ["AWS::Lambda::WebFunctionEndpoint", "UploadFunctionEndpoint"],
    ] as const) {
      expect(the(standard, type, id).Properties["FunctionName"]).toBe("lading-registry-uploads");
    }
    expect(the(standard, "AWS::Lambda::WebFunctionEndpoint", "UploadFunctionEndpoint").Properties["AuthType"]).toBe(
      "ApplicationManaged",
    );
  });

  it("remove nothing but ended uploads and entries of the index where deletes are off", () => {
    const stack = synth({ deletes: "false" });
    expect(environmentOf(stack, "RegistryFunction")["REGISTRY_STORAGE_DELETE_ENABLED"]).toBe("false");
    expect(
      rights(stack, "RegistryFunctionRole")
        .filter((right) => right.startsWith("s3:DeleteObject "))
        .map((right) => right.replace(/^.*\/v2\//, "")),
    ).toEqual(["_catalog/*", "repositories/*/_uploads/*"]);
  });

  it("write nothing where the registry is read-only, and nothing is collected", () => {
    const stack = stacks["read-only"];
    for (const role of ["RegistryFunctionRole", "UploadFunctionRole"]) {
      expect(rights(stack, role).filter((right) => /^s3:(Put|Delete|Abort)/.test(right))).toEqual([]);
    }
    expect(environmentOf(stack, "RegistryFunction")).toMatchObject({
      REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED: "true",
      REGISTRY_AUTH_ANONYMOUS: "pull",
    });
    expect(the(stack, "AWS::Scheduler::Schedule", "Collect").Properties["State"]).toBe("DISABLED");
  });
});

describe("the front door", () => {
  it("sends every request to the registry function, within limits, and logs it", () => {
    expect(
      Object.values(ofType(standard, "AWS::ApiGatewayV2::Route")).map(({ Properties }) => Properties["RouteKey"]),
    ).toEqual(["$default"]);
    const [integration] = Object.values(ofType(standard, "AWS::ApiGatewayV2::Integration"));
    expect(integration?.Properties).toMatchObject({ IntegrationType: "AWS_PROXY", PayloadFormatVersion: "2.0" });
    expect(textOf(integration?.Properties["IntegrationUri"])).toBe("<RegistryFunction>");
    const [stage] = Object.values(ofType(standard, "AWS::ApiGatewayV2::Stage"));
    expect(stage?.Properties).toMatchObject({
      StageName: "$default",
      DefaultRouteSettings: { ThrottlingRateLimit: 200, ThrottlingBurstLimit: 400 },
    });
    const { Format } = stage?.Properties["AccessLogSettings"] as { Format: string };
    expect(Object.keys(JSON.parse(Format) as object)).toContain("status");
  });

  it("can be a name of one's own at API Gateway", () => {
    const stack = stacks.domain;
    stack.template.hasResourceProperties("AWS::ApiGatewayV2::DomainName", {
      DomainName: "registry.example.com",
      DomainNameConfigurations: [{ CertificateArn: ARN.certificate, EndpointType: "REGIONAL" }],
    });
    expect(environmentOf(stack, "RegistryFunction")).toMatchObject({
      REGISTRY_HTTP_HOST: "https://registry.example.com",
      REGISTRY_HTTP_UPLOADS_HOST: "https://<UploadFunctionEndpoint>",
    });
    expect(outputsOf(stack)).toMatchObject({ Registry: "registry.example.com", DnsTarget: "<Domain>" });
  });

  it("can be CloudFront, with one name for all: nothing is cached, and each origin is asked by its own name", () => {
    const stack = stacks.cloudfront;
    const [distribution] = Object.values(ofType(stack, "AWS::CloudFront::Distribution"));
    const { DistributionConfig } = distribution?.Properties as {
      DistributionConfig: {
        DefaultCacheBehavior: object;
        CacheBehaviors: { PathPattern: string; TargetOriginId: string }[];
        Origins: { Id: string; DomainName: unknown; CustomOriginConfig: object }[];
      };
    };
    const behavior = {
      AllowedMethods: ["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "POST", "DELETE"],
      // CachingDisabled and AllViewerExceptHostHeader, both AWS's own.
      CachePolicyId: "4135ea2d-6df8-44a3-9df3-4b5a84be39ad",
      OriginRequestPolicyId: "b689b0a8-53d0-40ab-baf2-68738e2966ac",
      Compress: false,
      ViewerProtocolPolicy: "https-only",
    };
    expect(DistributionConfig.DefaultCacheBehavior).toMatchObject(behavior);
    const [uploads] = DistributionConfig.CacheBehaviors;
    expect(uploads).toMatchObject({ ...behavior, PathPattern: "/v2/*/blobs/uploads/*" });
    const origin = DistributionConfig.Origins.find(({ Id }) => Id === uploads?.TargetOriginId);
    expect(textOf(origin?.DomainName)).toBe("<UploadFunctionEndpoint>");
    expect(origin?.CustomOriginConfig).toMatchObject({ OriginProtocolPolicy: "https-only", OriginReadTimeout: 60 });
    const environment = environmentOf(stack, "RegistryFunction");
    expect(environment["REGISTRY_HTTP_HOST"]).toBe("https://<Distribution>");
    expect(environment["REGISTRY_HTTP_UPLOADS_HOST"]).toBe("https://<Distribution>");
  });

  it("can carry the layers too: blobs come from the upload function, which then sends nobody to S3", () => {
    const stack = stacks["cloudfront with downloads"];
    const [distribution] = Object.values(ofType(stack, "AWS::CloudFront::Distribution"));
    const { DistributionConfig } = distribution?.Properties as {
      DistributionConfig: {
        CacheBehaviors: { PathPattern: string; TargetOriginId: string; CachePolicyId: string }[];
        Origins: { Id: string; DomainName: unknown }[];
      };
    };
    // The first that fits counts.
    const behaviors = DistributionConfig.CacheBehaviors;
    expect(behaviors.map(({ PathPattern }) => PathPattern)).toEqual(["/v2/*/blobs/uploads/*", "/v2/*/blobs/sha*"]);
    for (const { TargetOriginId, CachePolicyId } of behaviors) {
      const origin = DistributionConfig.Origins.find(({ Id }) => Id === TargetOriginId);
      expect(textOf(origin?.DomainName)).toBe("<UploadFunctionEndpoint>");
      expect(CachePolicyId).toBe("4135ea2d-6df8-44a3-9df3-4b5a84be39ad");
    }
    const redirects = "REGISTRY_STORAGE_REDIRECT_DISABLE";
    expect((uploadService(stack)["EnvironmentVariables"] as Record<string, string>)[redirects]).toBe("true");
    // Who comes to the API's own address is sent to S3: it carries no layer.
    expect(environmentOf(stack, "RegistryFunction")[redirects]).toBeUndefined();
    expect(
      (uploadService(stacks.cloudfront)["EnvironmentVariables"] as Record<string, string>)[redirects],
    ).toBeUndefined();
  });

  it("takes a name and a web ACL to CloudFront", () => {
    const stack = stacks["cloudfront with a name and a web ACL"];
    stack.template.hasResourceProperties("AWS::CloudFront::Distribution", {
      DistributionConfig: {
        Aliases: ["registry.example.com"],
        ViewerCertificate: { AcmCertificateArn: ARN.certificateUs, MinimumProtocolVersion: "TLSv1.2_2021" },
        WebACLId: ARN.webAcl,
      },
    });
    expect(outputsOf(stack)).toMatchObject({ Registry: "registry.example.com", DnsTarget: "<Distribution>" });
    expect(Object.keys(ofType(stack, "AWS::ApiGatewayV2::DomainName"))).toEqual([]);
  });
});

describe("what runs by the clock", () => {
  it("is the collector each night and the secret each month, tried again, and told where it was given up", () => {
    const collect = the(standard, "AWS::Scheduler::Schedule", "Collect").Properties;
    expect(collect).toMatchObject({
      ScheduleExpression: "cron(0/15 3-6 * * ? *)",
      ScheduleExpressionTimezone: "Etc/UTC",
      State: "ENABLED",
      Target: { RetryPolicy: { MaximumRetryAttempts: 10 } },
    });
    const targetOf = (
      properties: Resource["Properties"],
    ): { Arn: unknown; DeadLetterConfig: { Arn: unknown }; Input: string } => properties["Target"] as never;
    expect(textOf(targetOf(collect).Arn)).toBe("<CollectorFunction>");
    expect(textOf(targetOf(collect).DeadLetterConfig.Arn)).toBe("<Failures>");
    const change = the(standard, "AWS::Scheduler::Schedule", "ChangeSecret").Properties;
    expect(change["ScheduleExpression"]).toBe("cron(0 4 1 * ? *)");
    expect(JSON.parse(targetOf(change).Input)).toEqual({ rotate: true, secret: "/lading/registry/secret" });
    for (const role of ["CollectRole", "ChangeSecretRole"]) expect(rights(standard, role)).toHaveLength(2);
    for (const name of ["CollectorFunction", "SecretsFunction"]) {
      expect(functionOf(standard, name)["DeadLetterConfig"]).toBeDefined();
    }
  });

  it("follows the settings", () => {
    const stack = synth({ gcSchedule: "cron(30 1 ? * SUN *)", gcTimeZone: "Europe/Berlin", gcGrace: "48h" });
    expect(the(stack, "AWS::Scheduler::Schedule", "Collect").Properties).toMatchObject({
      ScheduleExpression: "cron(30 1 ? * SUN *)",
      ScheduleExpressionTimezone: "Europe/Berlin",
    });
    const uploads = uploadService(stack)["EnvironmentVariables"] as Readonly<Record<string, string>>;
    // Whoever promises and whoever keeps it have to mean the same time.
    for (const variables of [
      environmentOf(stack, "RegistryFunction"),
      environmentOf(stack, "CollectorFunction"),
      uploads,
    ]) {
      expect(variables["REGISTRY_STORAGE_MAINTENANCE_GC_GRACE"]).toBe("48h");
    }
  });

  it("tells all who push, pull and collect the same rules", () => {
    const retention = [{ repositories: ["ci/**"], keep: { last: 20, pulledwithin: "90d" }, expireuntagged: "1d" }];
    const immutableTags = '[{"tags": ["v*"]}]';
    const stack = synth({ retention, immutableTags, recordPulls: "true" });
    const uploads = uploadService(stack)["EnvironmentVariables"] as Readonly<Record<string, string>>;
    for (const variables of [
      environmentOf(stack, "RegistryFunction"),
      environmentOf(stack, "CollectorFunction"),
      uploads,
    ]) {
      expect(variables).toMatchObject({
        REGISTRY_STORAGE_MAINTENANCE_GC_RETENTION: JSON.stringify(retention),
        REGISTRY_STORAGE_MAINTENANCE_GC_RECORDPULLS: "true",
        REGISTRY_STORAGE_TAG_IMMUTABLE: '[{"tags":["v*"]}]',
      });
    }
  });

  it("has no alarm for a night without a collection where there is none every night", () => {
    const stack = synth({ gcSchedule: "cron(30 1 ? * SUN *)" });
    // It would go off six days in seven.
    expect(Object.keys(ofType(stack, "AWS::CloudWatch::Alarm")).join()).not.toContain("CollectorMissing");
  });
});

describe("what watches", () => {
  it("are alarms, fewer than the ten that are free, and none where none are wanted", () => {
    expect(Object.keys(ofType(standard, "AWS::CloudWatch::Alarm")).map((id) => id.slice(0, -8))).toEqual([
      "RegistryErrorsAlarm",
      "RegistryThrottlesAlarm",
      "RegistrySlowAlarm",
      "ServerErrorsAlarm",
      "UploadErrorsAlarm",
      "CollectorErrorsAlarm",
      "FailuresAlarm",
      "CollectorMissingAlarm",
    ]);
    expect(the(standard, "AWS::CloudWatch::Alarm", "CollectorMissingAlarm").Properties).toMatchObject({
      Period: 86_400,
      EvaluationPeriods: 2,
      TreatMissingData: "breaching",
    });
    // Of a night whose tries all fail, of which two are 75 minutes apart at the most, one mail.
    expect(the(standard, "AWS::CloudWatch::Alarm", "CollectorErrorsAlarm").Properties).toMatchObject({
      MetricName: "Errors",
      Period: 6 * 3600,
      EvaluationPeriods: 1,
    });
    expect(Object.keys(ofType(synth({ alarms: "false" }), "AWS::CloudWatch::Alarm"))).toEqual([]);
  });

  it("write to an address where one is given", () => {
    const stack = stacks["all goes with it"];
    const [subscription] = Object.values(ofType(stack, "AWS::SNS::Subscription"));
    expect(subscription?.Properties).toMatchObject({ Protocol: "email", Endpoint: "ops@example.com" });
    for (const { Properties } of Object.values(ofType(stack, "AWS::CloudWatch::Alarm"))) {
      expect(Properties["AlarmActions"]).toHaveLength(1);
      expect(Properties["OKActions"]).toHaveLength(1);
    }
  });

  it("is one page", () => {
    const pages = Object.values(ofType(standard, "AWS::CloudWatch::Dashboard"));
    expect(pages).toHaveLength(1);
    const text = textOf(pages[0]?.Properties["DashboardBody"]);
    for (const question of ["Is it healthy?", "Who uses it?", "What does it cost?"]) expect(text).toContain(question);
    // Of this registry's collector, and no other's: test/unit/nightly.test.ts has what that tells.
    for (const figure of ["GcDeletedBytes", "GcEligible", "GcDeleted", "GcDollars"]) {
      expect(text).toContain(`"Lading","${figure}","FunctionName","<CollectorFunction>"`);
    }
  });
});

describe("outputs", () => {
  it("can be pasted", () => {
    expect(outputsOf(standard)).toEqual({
      Registry: "<Api>.execute-api.<AWS::Region>.<AWS::URLSuffix>",
      UploadHost: "<UploadFunctionEndpoint>",
      Bucket: "<Storage>",
      Login: "docker login <Api>.execute-api.<AWS::Region>.<AWS::URLSuffix>",
      AddUser: "node dist/lading.js users add NAME --parameter /lading/registry/htpasswd --region <AWS::Region>",
    });
  });
});

describe("the template", () => {
  it.each([
    ["default", standard],
    ["cloudfront", stacks.cloudfront],
    ["existing-bucket", stacks["existing bucket"]],
    ["kms", stacks.kms],
    ["domain", stacks.domain],
  ])("of %s is the one that was looked at", async (name, { template }) => {
    const text = JSON.stringify(template.toJSON(), undefined, 1).replaceAll(/[0-9a-f]{64}/g, "HASH");
    await expect(`${text}\n`).toMatchFileSnapshot(`golden/${name}.json`);
  });
});
