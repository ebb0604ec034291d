/** Where clients come in: API Gateway, and CloudFront in front of it where one name is wanted for everything. */
import { Aws, Duration, Validations } from "aws-cdk-lib";
import {
  ApiMapping,
  DomainName,
  HttpApi,
  HttpRoute,
  HttpRouteKey,
  HttpStage,
  LogGroupLogDestination,
} from "aws-cdk-lib/aws-apigatewayv2";
import { HttpLambdaIntegration } from "aws-cdk-lib/aws-apigatewayv2-integrations";
import { AccessLogFormat } from "aws-cdk-lib/aws-apigateway";
import { Certificate } from "aws-cdk-lib/aws-certificatemanager";
import {
  AllowedMethods,
  CachePolicy,
  Distribution,
  OriginProtocolPolicy,
  OriginRequestPolicy,
  OriginSslPolicy,
  SecurityPolicyProtocol,
  ViewerProtocolPolicy,
  type BehaviorOptions,
} from "aws-cdk-lib/aws-cloudfront";
import { HttpOrigin } from "aws-cdk-lib/aws-cloudfront-origins";
import type { Function as LambdaFunction } from "aws-cdk-lib/aws-lambda";
import type { Construct } from "constructs";
import { createLog } from "./functions.ts";
import type { Settings } from "./settings.ts";

/** The paths of upload sessions, whatever the repository is called. */
const UPLOAD_PATHS = "/v2/*/blobs/uploads/*";
/** Those of blobs: their digests are of SHA-256 or SHA-512. */
const BLOB_PATHS = "/v2/*/blobs/sha*";

/** One line for each request, also those that never came to the function. */
const ACCESS_LOG = {
  time: "$context.requestTime",
  request: "$context.requestId",
  ip: "$context.identity.sourceIp",
  method: "$context.httpMethod",
  path: "$context.path",
  status: "$context.status",
  bytes: "$context.responseLength",
  latencyMs: "$context.responseLatency",
  agent: "$context.identity.userAgent",
  error: "$context.error.message",
  integration: "$context.integrationErrorMessage",
};

/** The API, and the host that it answers at. */
export interface Api {
  readonly api: HttpApi;
  /** Its own host, whatever is in front. */
  readonly host: string;
}

/** The host that clients are told. */
export interface FrontDoor {
  readonly host: string;
  /** What the name's DNS record has to lead to, where there is a name of one's own. */
  readonly target?: string;
  /** With CloudFront only. */
  readonly distribution?: Distribution;
}

/** An HTTP API, with nothing behind it yet: `connect` does that, since the function is told the API's name. */
export function createApi(scope: Construct): Api {
  const api = new HttpApi(scope, "Api", { createDefaultStage: false });
  return { api, host: `${api.apiId}.execute-api.${Aws.REGION}.${Aws.URL_SUFFIX}` };
}

/**
 * Sends every request to the function. There is one route, for all: what an HTTP API makes of a slash at the end of another
 * is not written down, and `/v2/` is where each client begins.
 */
export function connect(scope: Construct, { api }: Api, registry: LambdaFunction, settings: Settings): HttpStage {
  const route = new HttpRoute(scope, "Route", {
    httpApi: api,
    routeKey: HttpRouteKey.DEFAULT,
    integration: new HttpLambdaIntegration("Registry", registry),
  });
  Validations.of(route).acknowledge({
    id: "AwsSolutions-APIG4",
    reason: "The registry signs its clients in, as its protocol wants: with a challenge that they answer.",
  });
  return new HttpStage(scope, "Stage", {
    httpApi: api,
    stageName: "$default",
    autoDeploy: true,
    throttle: { rateLimit: settings.throttleRate, burstLimit: settings.throttleBurst },
    accessLogSettings: {
      destination: new LogGroupLogDestination(createLog(scope, "AccessLog", settings)),
      format: AccessLogFormat.custom(JSON.stringify(ACCESS_LOG)),
    },
  });
}

/** The name that clients use. `uploads` is the host of the upload function. */
export function createFrontDoor(scope: Construct, api: Api, uploads: string, settings: Settings): FrontDoor {
  return settings.frontDoor === "cloudfront"
    ? atCloudFront(scope, api, uploads, settings)
    : { host: settings.domain?.name ?? api.host };
}

/** API Gateway's own custom domain. */
export function mapDomain(scope: Construct, { api }: Api, stage: HttpStage, settings: Settings): string | undefined {
  const { domain, frontDoor } = settings;
  if (domain === undefined || frontDoor === "cloudfront") return undefined;
  const domainName = new DomainName(scope, "Domain", {
    domainName: domain.name,
    certificate: Certificate.fromCertificateArn(scope, "Certificate", domain.certificateArn),
  });
  new ApiMapping(scope, "Mapping", { api, domainName, stage });
  return domainName.regionalDomainName;
}

function atCloudFront(scope: Construct, api: Api, uploads: string, settings: Settings): FrontDoor {
  const { domain, webAclArn, downloads } = settings;
  const behavior = (host: string, readTimeout: Duration): BehaviorOptions => ({
    origin: new HttpOrigin(host, {
      protocolPolicy: OriginProtocolPolicy.HTTPS_ONLY,
      originSslProtocols: [OriginSslPolicy.TLS_V1_2],
      readTimeout,
    }),
    viewerProtocolPolicy: ViewerProtocolPolicy.HTTPS_ONLY,
    allowedMethods: AllowedMethods.ALLOW_ALL,
    cachePolicy: CachePolicy.CACHING_DISABLED,
    // All headers, Authorization too, but Host: both origins answer to their own name only.
    originRequestPolicy: OriginRequestPolicy.ALL_VIEWER_EXCEPT_HOST_HEADER,
    compress: false,
  });
  // The most without asking AWS for more.
  const toUploads = behavior(uploads, Duration.seconds(60));
  const distribution = new Distribution(scope, "Distribution", {
    comment: "Lading: a container registry",
    defaultBehavior: behavior(api.host, Duration.seconds(30)),
    additionalBehaviors: {
      [UPLOAD_PATHS]: toUploads,
      ...(downloads === "cloudfront" ? { [BLOB_PATHS]: toUploads } : {}),
    },
    ...(domain === undefined
      ? {}
      : {
          domainNames: [domain.name],
          certificate: Certificate.fromCertificateArn(scope, "Certificate", domain.certificateArn),
          minimumProtocolVersion: SecurityPolicyProtocol.TLS_V1_2_2021,
        }),
    ...(webAclArn === undefined ? {} : { webAclId: webAclArn }),
  });
  Validations.of(distribution).acknowledge(
    { id: "AwsSolutions-CFR1", reason: "Who may pull is a matter of users, not of countries." },
    {
      id: "AwsSolutions-CFR3",
      reason: "API Gateway and the functions log each request; nothing is answered from a cache.",
    },
    ...(webAclArn === undefined
      ? [{ id: "AwsSolutions-CFR2", reason: "A web ACL is billed by the month; webAclArn takes one that is there." }]
      : []),
    ...(domain === undefined
      ? [
          {
            id: "AwsSolutions-CFR4",
            reason: "CloudFront's own certificate comes with its own minimum; domainName sets TLS 1.2.",
          },
        ]
      : []),
  );
  const { domainName } = distribution;
  return { host: domain?.name ?? domainName, distribution, ...(domain === undefined ? {} : { target: domainName }) };
}
