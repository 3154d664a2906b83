#!/usr/bin/env bash
# Apache Kafka (KRaft, no ZooKeeper) for tests, run from Maven artifacts; nothing is installed.
#
#   real-kafka.sh start DIR [PORT] [VERSION]            starts a single node unless it runs, waits until it answers, and
#                                                       prints host:port
#   real-kafka.sh start DIR PORT VERSION BROKERS        starts a cluster: node N in DIR/N, with the ports PORT+2(N-1) and
#                                                       the one after it; prints one host:port per line
#   real-kafka.sh start DIR/N                           starts a node of such a cluster again
#   real-kafka.sh stop DIR                              ends it cleanly
#   real-kafka.sh kill DIR                              ends it with kill -9; the data stay, start continues on them
#   real-kafka.sh freeze DIR                            stops its process with SIGSTOP
#   real-kafka.sh thaw DIR                              lets it continue
#
# stop, kill, freeze and thaw take the directory of a node, or that of a cluster for all of its nodes. What is in
# DIR/extra.properties is added to the broker's configuration, DIR/format.args to the arguments of its first formatting.
# The nodes of a cluster have files of their own.
#
# VERSION is 3.9.1 unless given; 4.x works too. It needs java 17 or newer and mvn, and about 300 MB of memory per node.
# The jars (46 MB) are kept in $VOXELSTREAM_KAFKA_LIBS, or in the user's cache directory.
set -euo pipefail

usage() { sed -n '2,21s/^# \{0,1\}//p' "$0" >&2; exit 2; }
die() { echo "real-kafka.sh: $*" >&2; exit 1; }

[ $# -ge 2 ] || usage
command=$1 port=${3:-19092} version=${4:-3.9.1} brokers=${5:-1}
mkdir -p "$2"
dir=$(cd "$2" && pwd)
node=1 first=$port id=
if [ -s "$dir/../cluster" ]; then # a node of a cluster
  node=$(basename "$dir")
  read -r first version brokers id <"$dir/../cluster"
  port=$((first + 2 * (node - 1)))
fi
pidfile=$dir/pid
libs=${VOXELSTREAM_KAFKA_LIBS:-${XDG_CACHE_HOME:-$HOME/.cache}/voxelstream/kafka-$version}

alive() { [ -s "$pidfile" ] && kill -0 "$(cat "$pidfile")" 2>/dev/null; }
answers() { (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; }

end() { # signal
  if alive; then
    kill "$1" "$(cat "$pidfile")"
    for _ in $(seq 200); do alive || break; sleep .1; done
    alive && die "broker $(cat "$pidfile") did not end in 20 s"
  fi
  rm -f "$pidfile"
}

end_or_signal() { # signal, on a node or on all nodes
  if [ -s "$dir/cluster" ]; then
    for each in "$dir"/[0-9]; do "$0" "$command" "$each" & done
    wait
    return
  fi
  case $1 in
  -TERM | -KILL) end "$1" ;;
  *) alive || die "the broker in $dir does not run"; kill "$1" "$(cat "$pidfile")" ;;
  esac
}

fetch_jars() {
  [ -e "$libs/.complete" ] && return
  command -v mvn >/dev/null || die "mvn is not installed"
  local log
  case $version in
  3.*) log='<dependency><groupId>org.slf4j</groupId><artifactId>slf4j-reload4j</artifactId><version>1.7.36</version></dependency>' ;;
  *) log='<dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.24.3</version></dependency>
          <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-core</artifactId><version>2.24.3</version></dependency>' ;;
  esac
  mkdir -p "$libs"
  cat >"$libs/pom.xml" <<XML
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion><groupId>local</groupId><artifactId>kafka-libs</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$version</version></dependency>
    $log
  </dependencies>
</project>
XML
  mvn -q -B -f "$libs/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$libs" >"$libs/mvn.log" 2>&1 ||
    { tail -5 "$libs/mvn.log" >&2; die "mvn could not get kafka $version"; }
  touch "$libs/.complete"
}

write_config() {
  local voters=() n replicas=$((brokers < 3 ? 1 : 3))
  for n in $(seq "$brokers"); do voters+=("$n@127.0.0.1:$((first + 2 * (n - 1) + 1))"); done
  cat >"$dir/server.properties" <<CONF
process.roles=broker,controller
node.id=$node
controller.quorum.voters=$(IFS=,; echo "${voters[*]}")
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))
advertised.listeners=PLAINTEXT://127.0.0.1:$port
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=$dir/data
num.partitions=4
auto.create.topics.enable=false
default.replication.factor=$replicas
min.insync.replicas=$((replicas < 3 ? 1 : 2))
offsets.topic.replication.factor=$replicas
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=$replicas
transaction.state.log.min.isr=$((replicas < 3 ? 1 : 2))
share.coordinator.state.topic.replication.factor=$replicas
share.coordinator.state.topic.min.isr=$((replicas < 3 ? 1 : 2))
group.initial.rebalance.delay.ms=0
message.max.bytes=20971520
replica.fetch.max.bytes=20971520
CONF
  if [ -e "$dir/extra.properties" ]; then cat "$dir/extra.properties" >>"$dir/server.properties"; fi
  cat >"$dir/log4j.properties" <<'LOG'
log4j.rootLogger=WARN, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=[%d] %p %m (%c)%n
LOG
  cat >"$dir/log4j2.properties" <<'LOG'
rootLogger.level=warn
rootLogger.appenderRef.c.ref=c
appender.c.type=Console
appender.c.name=c
appender.c.layout.type=PatternLayout
appender.c.layout.pattern=[%d] %p %m (%c)%n
LOG
}

# An ID of a cluster: 16 bytes in base64 for URLs. One that began with a dash would look like an option.
random_id() { head -c 16 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=' | sed 's/^-/_/'; }

start_cluster() {
  fetch_jars
  [ -s "$dir/cluster" ] || echo "$port $version $brokers $(random_id)" >"$dir/cluster"
  local nodes=() n
  for n in $(seq "$brokers"); do
    "$0" start "$dir/$n" >"$dir/$n.out" &
    nodes+=($!)
  done
  for n in "${nodes[@]}"; do wait "$n" || die "a node of $dir did not start"; done
  for n in $(seq "$brokers"); do cat "$dir/$n.out"; done
}

start() {
  if alive && answers; then echo "127.0.0.1:$port"; return; fi
  if answers; then die "port $port is taken by something else"; fi
  command -v java >/dev/null || die "java is not installed"
  fetch_jars
  write_config
  local java=(java -cp "$libs/*")
  case $version in
  3.*) java+=("-Dlog4j.configuration=file:$dir/log4j.properties") ;;
  *) java+=("-Dlog4j2.configurationFile=$dir/log4j2.properties") ;;
  esac
  if [ ! -e "$dir/data/meta.properties" ]; then
    [ -n "$id" ] || id=$(random_id)
    local more=()
    if [ -e "$dir/format.args" ]; then read -ra more <"$dir/format.args" || true; fi
    "${java[@]}" kafka.tools.StorageTool format -t "$id" -c "$dir/server.properties" "${more[@]}" >"$dir/format.log" 2>&1 ||
      { tail -5 "$dir/format.log" >&2; die "formatting $dir/data failed"; }
  fi
  nohup "${java[@]}" -Xmx512m -XX:+UseG1GC kafka.Kafka "$dir/server.properties" >>"$dir/kafka.log" 2>&1 </dev/null &
  echo $! >"$pidfile"
  for _ in $(seq 1800); do
    alive || { tail -5 "$dir/kafka.log" >&2; die "the broker ended at start"; }
    if answers; then echo "127.0.0.1:$port"; return; fi
    sleep .1
  done
  die "no answer on port $port in 3 minutes; see $dir/kafka.log"
}

case $command in
start) if [ "$brokers" -gt 1 ] && [ -z "$id" ]; then start_cluster; else start; fi ;;
stop) end_or_signal -TERM ;;
kill) end_or_signal -KILL ;;
freeze) end_or_signal -STOP ;;
thaw) end_or_signal -CONT ;;
*) usage ;;
esac
