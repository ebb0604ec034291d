#!/usr/bin/env bash
# Runs both official conformance suites of opencontainers/distribution-spec against a started registry: on every driver,
# with and without users, with every optional switch on. Reports are kept under reports/conformance/.
#
#   test/conformance/official.sh [driver…]          inmemory filesystem by default
#
# Needs the suites' binaries, conformance-main and conformance-v1.1.1, in ${LADING_TOOLS:-$HOME/.cache/lading-tools}/bin.
# Ends with 0: all passed; 1: something failed, was skipped or disabled; 3: a binary is missing.
set -euo pipefail
cd "$(dirname "$0")/../.."

tools="${LADING_TOOLS:-$HOME/.cache/lading-tools}/bin"
for suite in conformance-main conformance-v1.1.1; do
  if [ ! -x "$tools/$suite" ]; then
    echo "The official conformance suite cannot be run: $tools/$suite is not there (test/tools/README.md says how to build it)." >&2
    exit 3
  fi
done

drivers=("$@")
[ ${#drivers[@]} -gt 0 ] || drivers=(inmemory filesystem)
golden="$PWD/test/conformance/v1.1.1-skips.txt"
port="${LADING_CONFORMANCE_PORT:-5601}"
failed=0
server=""
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true' EXIT
node bin/build.js

run_suites() { # driver, users, report folder
  local driver=$1 users=$2 out=$3 scratch status
  scratch="$(mktemp -d)"
  local -a env=(
    "REGISTRY_HTTP_ADDR=127.0.0.1:$port" REGISTRY_STORAGE_DELETE_ENABLED=true REGISTRY_VALIDATION_MANIFESTS_SPARSE=true
  )
  case $driver in
    filesystem) env+=("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY=$scratch/data") ;;
    inmemory) env+=("REGISTRY_STORAGE=inmemory") ;;
  esac
  local -a login_main=() login_old=()
  if [ "$users" = users ]; then
    node --input-type=module -e \
      'import { hashSync } from "bcryptjs"; console.log(`user:${hashSync("secret", 5)}`)' >"$scratch/htpasswd"
    env+=("REGISTRY_AUTH=htpasswd" "REGISTRY_AUTH_HTPASSWD_REALM=conformance" "REGISTRY_AUTH_HTPASSWD_PATH=$scratch/htpasswd")
    login_main=(OCI_USERNAME=user OCI_PASSWORD=secret)
    login_old=(OCI_USERNAME=user OCI_PASSWORD=secret)
  fi
  mkdir -p "$out/main" "$out/v1.1.1"
  env "${env[@]}" node dist/lading.js serve >"$out/server.log" 2>&1 &
  server=$!
  for _ in $(seq 100); do
    curl -s -o /dev/null "http://127.0.0.1:$port/v2/" && break
    kill -0 "$server" 2>/dev/null || { echo "the registry did not start: $out/server.log" >&2; return 1; }
    sleep 0.05
  done

  status=0
  env "${login_main[@]}" OCI_REGISTRY="127.0.0.1:$port" OCI_TLS=disabled OCI_VERSION=dev OCI_RESULTS_DIR="$out/main" \
    OCI_REPO1=conformance/one OCI_REPO2=conformance/two \
    OCI_API_PULL=true OCI_API_PUSH=true OCI_API_BLOBS_ATOMIC=true OCI_API_BLOBS_DELETE=true \
    OCI_API_BLOBS_DIGEST_HEADER=true OCI_API_BLOBS_MOUNT_ANONYMOUS=true OCI_API_BLOBS_UPLOAD_CANCEL=true \
    OCI_API_MANIFESTS_ATOMIC=true OCI_API_MANIFESTS_DELETE=true OCI_API_MANIFESTS_DIGEST_HEADER=true \
    OCI_API_MANIFESTS_TAG_PARAM=true OCI_API_TAGS_ATOMIC=true OCI_API_TAGS_DELETE=true OCI_API_TAGS_LIST=true \
    OCI_API_REFERRER=true OCI_DATA_INDEX=true OCI_DATA_INDEX_LIST=true OCI_DATA_SPARSE=true OCI_DATA_ARTIFACT=true \
    OCI_DATA_SUBJECT=true OCI_DATA_SUBJECT_MISSING=true OCI_DATA_ARTIFACT_LIST=true OCI_DATA_SUBJECT_LIST=true \
    OCI_DATA_DATA_FIELD=true OCI_DATA_NONDISTRIBUTABLE=true OCI_DATA_CUSTOM_FIELDS=true OCI_DATA_NO_LAYERS=true \
    OCI_DATA_EMPTY_BLOB=true OCI_DATA_SHA512=true \
    "$tools/conformance-main" >"$out/main/output.txt" 2>&1 || { echo "  main: failed, see $out/main" >&2; status=1; }
  if [ ! -s "$out/main/junit.xml" ]; then
    echo "  main: left no report" >&2
    status=1
  elif grep -Eq '<(failure|error|skipped)|(failures|errors|skipped|disabled)="[1-9]' "$out/main/junit.xml"; then
    echo "  main: something failed, was skipped or disabled, see $out/main/junit.xml" >&2
    status=1
  fi

  env "${login_old[@]}" OCI_ROOT_URL="http://127.0.0.1:$port" OCI_NAMESPACE=conformance/old \
    OCI_CROSSMOUNT_NAMESPACE=conformance/old-mount OCI_TEST_PULL=1 OCI_TEST_PUSH=1 OCI_TEST_CONTENT_DISCOVERY=1 \
    OCI_TEST_CONTENT_MANAGEMENT=1 OCI_HIDE_SKIPPED_WORKFLOWS=0 OCI_AUTOMATIC_CROSSMOUNT=1 \
    OCI_REPORT_DIR="$out/v1.1.1" \
    "$tools/conformance-v1.1.1" >"$out/v1.1.1/output.txt" 2>&1 || { echo "  v1.1.1: failed, see $out/v1.1.1" >&2; status=1; }
  # The names of what was skipped, one a line: they must be the known ones.
  if [ -s "$out/v1.1.1/junit.xml" ]; then
    tr '\n' ' ' <"$out/v1.1.1/junit.xml" | grep -o '<testcase [^>]*>[^<]*<skipped' | sed 's/.* name="\([^"]*\)".*/\1/' | sort \
      >"$out/v1.1.1/skips.txt" || true
    diff -u "$golden" "$out/v1.1.1/skips.txt" >&2 || { echo "  v1.1.1: other tests were skipped than expected" >&2; status=1; }
  else
    echo "  v1.1.1: left no report" >&2
    status=1
  fi

  kill "$server" 2>/dev/null || true
  wait "$server" 2>/dev/null || true
  server=""
  rm -rf "$scratch"
  return "$status"
}

for driver in "${drivers[@]}"; do
  for users in open users; do
    out="$PWD/reports/conformance/$driver-$users"
    rm -rf "$out"
    echo "$driver, $users"
    run_suites "$driver" "$users" "$out" || failed=1
  done
done
exit "$failed"
