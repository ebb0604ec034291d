#!/usr/bin/env bash
# A whole Ceph object store for a test: one monitor, one OSD that keeps its data in memory, one RADOS gateway (S3).
# Usage: ceph-rgw.sh DIR ACCESS_KEY SECRET_KEY      as root, with Debian's radosgw, ceph-mon, ceph-osd, ceph-common
# Prints "serving http://127.0.0.1:PORT" when S3 is there, on a free port. On SIGTERM, or when one of the three ends,
# it ends the others, removes DIR and exits. It uses no systemd, and nothing in /etc/ceph or /var/lib/ceph.
set -euo pipefail

dir=${1:?usage: ceph-rgw.sh DIR ACCESS_KEY SECRET_KEY} access=${2:?} secret=${3:?}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
mkdir "$dir"/{mon,osd,rgw,run,log}

pids=()
finish() {
  code=$?
  trap '' TERM
  if [ "$code" != 0 ]; then tail -n 20 "$dir"/log/*.out || true; fi
  if [ ${#pids[@]} -gt 0 ]; then
    kill -KILL "${pids[@]}" 2>/dev/null || true # the data is thrown away: nothing to end in good order
    wait "${pids[@]}" 2>/dev/null || true
  fi
  rm -rf "$dir"
  exit "$code"
}
trap finish EXIT
trap 'exit 0' TERM

# An address of its own in 127.0.0.0/8 for what only Ceph's parts use, so that two of these never meet.
address=127.$((RANDOM % 254 + 1)).$((RANDOM % 256)).$((RANDOM % 254 + 1))
fsid=$(cat /proc/sys/kernel/random/uuid)
keyring=$dir/keyring
export CEPH_CONF=$dir/ceph.conf
unset CEPH_ARGS
cat >"$CEPH_CONF" <<EOF
[global]
fsid = $fsid
mon_initial_members = a
mon_host = [v2:$address:3300,v1:$address:6789]
public_addr = $address
cluster_addr = $address
auth_cluster_required = cephx
auth_service_required = cephx
auth_client_required = cephx
auth_allow_insecure_global_id_reclaim = false
osd_pool_default_size = 1
osd_pool_default_min_size = 1
mon_allow_pool_size_one = true
osd_pool_default_pg_num = 8
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_max_pg_per_osd = 1000
ms_bind_ipv6 = false
run_dir = $dir/run
pid_file = $dir/run/\$type.\$id.pid
admin_socket = $dir/run/\$cluster-\$name.asok
log_file = $dir/log/\$name.log
mon_cluster_log_file = $dir/log/cluster.log
crash_dir = $dir/log
keyring = $keyring
[mon]
# Changes of the map, such as a new pool, would wait a second each to be gathered.
paxos_propose_interval = 0.02
paxos_min_wait = 0.01
mon_data = $dir/mon
mon_data_avail_warn = 1
mon_data_avail_crit = 1
[osd]
osd_data = $dir/osd
osd_objectstore = memstore
memstore_device_bytes = 4294967296
osd_class_load_list = *
osd_class_default_list = *
[client.rgw.a]
rgw_data = $dir/rgw
# Without tcp_nodelay every call takes 40 ms.
rgw_frontends = beast endpoint=127.0.0.1:0 tcp_nodelay=1
rgw_enable_usage_log = false
rgw_enable_ops_log = false
debug_rgw = 0
EOF

# start NAME COMMAND...: in the background; it ends with this script, whatever becomes of it
start() {
  setpriv --pdeathsig KILL "${@:2}" >"$dir/log/$1.out" 2>&1 </dev/null &
  pids+=($!)
}

# eventually COMMAND...: until it succeeds, half a minute at most
eventually() {
  for _ in $(seq 300); do
    if "$@" >/dev/null 2>&1; then return; fi
    for pid in "${pids[@]}"; do
      if ! kill -0 "$pid" 2>/dev/null; then echo "ceph-rgw.sh: one of its parts ended"; exit 1; fi
    done
    sleep 0.1
  done
  echo "ceph-rgw.sh: not within half a minute: $*"
  exit 1
}

key() { ceph-authtool "$keyring" --gen-key -n "$@" >/dev/null; }
ceph-authtool --create-keyring "$keyring" >/dev/null
key mon. --cap mon 'allow *'
key client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *'
key client.rgw.a --cap mon 'allow rwx' --cap osd 'allow rwx' --cap mgr 'allow rw'
key osd.0 --cap mon 'allow profile osd' --cap osd 'allow *' --cap mgr 'allow profile osd'
monmaptool --create --fsid "$fsid" --addv a "[v2:$address:3300,v1:$address:6789]" "$dir/monmap" >/dev/null
ceph-mon --mkfs -i a --monmap "$dir/monmap" --keyring "$keyring"
start mon ceph-mon -f -i a
eventually timeout 5 ceph mon stat

uuid=$(cat /proc/sys/kernel/random/uuid)
ceph-osd -i 0 --mkfs --osd-uuid "$uuid" --monmap "$dir/monmap" >"$dir/log/mkfs.out" 2>&1
# memstore makes up an id of its own, and the monitor must know that one.
for file in fs_fsid fsid; do
  if [ -s "$dir/osd/$file" ]; then uuid=$(cat "$dir/osd/$file"); fi
done
ceph osd new "$uuid" >/dev/null
start osd ceph-osd -f -i 0
ceph osd crush add osd.0 1.0 root=default host=localhost >/dev/null 2>&1 || true
osd_up() { ceph osd stat 2>/dev/null | grep -q '1 up'; }
eventually osd_up

start rgw radosgw -f -n client.rgw.a
gateway=${pids[-1]}
find_port() {
  port=$(ss -Hltnp 'src 127.0.0.1' | awk -v pid="pid=$gateway," 'index($0, pid) { sub(/.*:/, "", $4); print $4; exit }')
  [ -n "$port" ]
}
eventually find_port
radosgw-admin user create --uid=test --display-name=test --access-key="$access" --secret-key="$secret" \
  >"$dir/log/admin.out" 2>&1
eventually curl -sf -o /dev/null "http://127.0.0.1:$port/"
echo "serving http://127.0.0.1:$port"
wait -n "${pids[@]}"
echo "ceph-rgw.sh: one of its parts ended"
exit 1
