/** Nothing is billed while nobody pushes or pulls, but what is stored. */
import { expect, it } from "vitest";
import { synth } from "./synth.ts";

const FREE = "free";
const BY_USE = "by request, second or byte";

/** How each type of resource is billed. What bills by the hour has no place here. */
const BILLING: Readonly<Record<string, string>> = {
  "AWS::ApiGatewayV2::Api": BY_USE,
  "AWS::ApiGatewayV2::ApiMapping": FREE,
  "AWS::ApiGatewayV2::DomainName": FREE,
  "AWS::ApiGatewayV2::Integration": FREE,
  "AWS::ApiGatewayV2::Route": FREE,
  "AWS::ApiGatewayV2::Stage": FREE,
  "AWS::CloudFront::Distribution": BY_USE,
  "AWS::CloudWatch::Alarm": "ten are free in an account, each further one is 0.10 USD a month",
  "AWS::CloudWatch::Dashboard": "three are free in an account",
  "AWS::IAM::Role": FREE,
  "AWS::Lambda::EventInvokeConfig": FREE,
  "AWS::Lambda::Function": BY_USE,
  "AWS::Lambda::Permission": FREE,
  "AWS::Lambda::WebFunction": BY_USE,
  "AWS::Lambda::WebFunctionEndpoint": FREE,
  "AWS::Lambda::WebFunctionRevision": FREE,
  "AWS::Logs::LogGroup": "by byte written and kept",
  "AWS::S3::Bucket": "by byte kept and request",
  "AWS::S3::BucketPolicy": FREE,
  "AWS::SNS::Subscription": FREE,
  "AWS::SNS::Topic": BY_USE,
  "AWS::SNS::TopicPolicy": FREE,
  "AWS::SQS::Queue": BY_USE,
  "AWS::SQS::QueuePolicy": FREE,
  "AWS::Scheduler::Schedule": BY_USE,
  // Functions are called once, when the stack is deployed.
  "Custom::LadingParameters": FREE,
  "Custom::S3AutoDeleteObjects": FREE,
  "Custom::S3ObjectCopy": FREE,
};

it.each([
  ["default", {}],
  [
    "CloudFront, and all goes with the stack",
    { frontDoor: "cloudfront", removalPolicy: "destroy", alarmEmail: "a@example.com" },
  ],
])("of %s, every type of resource is known, and none is billed by the hour", (_, settings: Record<string, string>) => {
  const { resources } = synth(settings);
  const types = [...new Set(Object.values(resources).map(({ Type }) => Type))];
  expect(types.filter((type) => BILLING[type] === undefined)).toEqual([]);
  expect(types.map((type) => BILLING[type]).filter((billing) => billing?.includes("hour"))).toEqual([]);
  const functions = JSON.stringify(Object.values(resources));
  expect(functions).not.toContain("ProvisionedConcurrency");
});
