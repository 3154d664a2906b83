package config

import (
	"slices"
	"strings"
	"testing"
)

// serviceOf returns the variables that Kubernetes sets for a service.
func serviceOf(service, address, port, name, protocol string) []string {
	s := strings.ToUpper(strings.ReplaceAll(service, "-", "_"))
	lower, at := strings.ToLower(protocol), address+":"+port
	if strings.Contains(address, ":") {
		at = "[" + address + "]:" + port
	}
	each := s + "_PORT_" + port + "_" + protocol
	return []string{
		s + "_SERVICE_HOST=" + address, s + "_SERVICE_PORT=" + port,
		s + "_SERVICE_PORT_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_")) + "=" + port,
		s + "_PORT=" + lower + "://" + at, each + "=" + lower + "://" + at, each + "_PROTO=" + lower,
		each + "_PORT=" + port, each + "_ADDR=" + address,
	}
}

// TestServiceLinks checks that the variables of services whose names begin with ours set nothing and stop nothing.
func TestServiceLinks(t *testing.T) {
	for _, service := range []string{
		"voxelstream", "voxelstream-kafka", "voxelstream-broker", "voxelstream-http", "voxelstream-serve-grpc",
		"voxelstream-config", "voxelstream-port", "voxelstream-service", "voxelstream-2",
	} {
		for _, v := range [][]string{
			serviceOf(service, "10.96.0.17", "80", "http", "TCP"),
			serviceOf(service, "10.0.0.1", "9092", "kafka-tls", "TCP"),
			serviceOf(service, "fd00:10:96::a", "2368", "lidar-0", "UDP"),
			serviceOf(service, "192.168.1.9", "65535", "x", "SCTP"),
		} {
			l, err := Load("", append(v, "VOXELSTREAM_KAFKA_GROUP=mine"), nil)
			if err != nil {
				t.Errorf("%s: %v", service, err)
				continue
			}
			if l.Kafka.Group != "mine" || l.Broker.Port != Default().Broker.Port {
				t.Errorf("%s: found group %s and port %d", service, l.Kafka.Group, l.Broker.Port)
			}
		}
	}
}

// TestNotServiceLinks checks that variables which only look like those of a service are read, or named.
func TestNotServiceLinks(t *testing.T) {
	l, err := Load("", append(serviceOf("voxelstream-broker", "10.0.0.1", "9092", "kafka", "TCP"),
		"VOXELSTREAM_BROKER_PORT=19093"), nil)
	if err != nil || l.Broker.Port != 19093 {
		t.Errorf("found %v, want port 19093", err)
	}
	for _, v := range []string{
		"VOXELSTREAM_KAFKA_PORT=9092", "VOXELSTREAM_PORT=8080", "VOXELSTREAM_PORT=http://10.0.0.1:80",
		"VOXELSTREAM_PORT=tcp://kafka:9092", "VOXELSTREAM_BROKER_PORT=tcp://10.0.0.1", "VOXELSTREAM_SERVICE_HOST=kafka",
		"VOXELSTREAM_SERVICE_PORT=70000", "VOXELSTREAM_SERVICE_PORT_HTTP=web", "VOXELSTREAM_PORT_80_TCP=10.0.0.1:80",
		"VOXELSTREAM_PORT_80_TCP_PROTO=http", "VOXELSTREAM_PORT_80_TCP_ADDR=host", "VOXELSTREAM_SERVICE_NAME=10.0.0.1",
		"VOXELSTREAM_HOST=10.0.0.1", "VOXELSTREAM_SERVICE_PORTS=80",
	} {
		name, _, _ := strings.Cut(v, "=")
		_, err := Load("", slices.Concat(serviceOf("voxelstream", "10.0.0.1", "443", "web", "TCP"), []string{v}), nil)
		if err == nil || !strings.Contains(err.Error(), "environment "+name) {
			t.Errorf("%s: found error %v, want one that contains the name", v, err)
		}
	}
}
