#!/usr/bin/env bash
# A single Apache Kafka node (KRaft, no ZooKeeper) for tests, run from Maven artifacts; nothing is installed.
#
#   real-kafka.sh start DIR [PORT] [VERSION]   starts it unless it runs, waits until it answers, prints host:port
#   real-kafka.sh stop DIR                     ends it cleanly
#   real-kafka.sh kill DIR                     ends it with kill -9; the data stay, start continues on them
#
# What is in DIR/extra.properties is added to the broker's configuration, DIR/format.args to the arguments of its first formatting.
#
# VERSION is 3.9.1 unless given; 4.x works too. It needs java 17 or newer and mvn, and about 300 MB of memory. The jars (46 MB) are kept in
# $VOXELSTREAM_KAFKA_LIBS, or in the user's cache directory.
set -euo pipefail

usage() { sed -n '2,12s/^# \{0,1\}//p' "$0" >&2; exit 2; }
die() { echo "real-kafka.sh: $*" >&2; exit 1; }

[ $# -ge 2 ] || usage
command=$1 port=${3:-19092} version=${4:-3.9.1}
mkdir -p "$2"
dir=$(cd "$2" && pwd)
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
  cat >"$dir/server.properties" <<CONF
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$((port + 1))
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))
advertised.listeners=PLAINTEXT://127.0.0.1:$port
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=$dir/data
num.partitions=4
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
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
    local id
    id=$("${java[@]}" kafka.tools.StorageTool random-uuid | tail -1)
    local more=()
    if [ -e "$dir/format.args" ]; then read -ra more <"$dir/format.args" || true; fi
    "${java[@]}" kafka.tools.StorageTool format -t "$id" -c "$dir/server.properties" "${more[@]}" >"$dir/format.log" 2>&1 ||
      { tail -5 "$dir/format.log" >&2; die "formatting $dir/data failed"; }
  fi
  nohup "${java[@]}" -Xmx512m -XX:+UseG1GC kafka.Kafka "$dir/server.properties" >>"$dir/kafka.log" 2>&1 </dev/null &
  echo $! >"$pidfile"
  for _ in $(seq 600); do
    alive || { tail -5 "$dir/kafka.log" >&2; die "the broker ended at start"; }
    if answers; then echo "127.0.0.1:$port"; return; fi
    sleep .1
  done
  die "no answer on port $port in 60 s; see $dir/kafka.log"
}

case $command in
start) start ;;
stop) end -TERM ;;
kill) end -KILL ;;
*) usage ;;
esac
