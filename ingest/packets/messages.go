package packets

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/voxelstream/voxelstream/ingest"
	"github.com/voxelstream/voxelstream/internal/unpack"
)

// topic is a topic of a ROS recording.
type topic struct {
	name, kind string // kind is the message type
	encoding   string // "cdr" (ROS 2) or "ros1"; others cannot be read
	count      int    // messages; -1 if unknown
	first      []byte // the first message; nil if there is none
}

// String describes the topic in errors.
func (t topic) String() string {
	what := ingest.Plural(t.count, "message")
	switch {
	case t.first == nil:
		what = "no message"
	case t.count < 0:
		what = ""
	}
	if t.encoding != "cdr" && t.encoding != "ros1" {
		what = strings.TrimPrefix(what+", encoding "+t.encoding, ", ")
	}
	if what != "" {
		what = ", " + what
	}
	return fmt.Sprintf("%s (%s%s)", t.name, t.kind, what)
}

// topicList collects the topics of a recording.
type topicList struct {
	found []topic
	index map[[3]string]int
}

func (l *topicList) topics() []topic { return l.found }

// maxTopics limits the topics of a recording.
const maxTopics = 10000

// wanted returns a set of indices of topics.
func wanted(topics []int) map[int]bool {
	out := make(map[int]bool, len(topics))
	for _, i := range topics {
		out[i] = true
	}
	return out
}

// add returns the index of a topic. The error is one of too many topics.
func (l *topicList) add(t topic) (int, error) {
	key := [3]string{t.name, t.kind, t.encoding}
	i, ok := l.index[key]
	if !ok {
		if len(l.found) == maxTopics {
			return 0, fmt.Errorf("found more than %d topics", maxTopics)
		}
		if l.index == nil {
			l.index = map[[3]string]int{}
		}
		i = len(l.found)
		l.index[key] = i
		l.found = append(l.found, t)
	}
	return i, nil
}

// counted counts a message, and keeps a copy of the first of a topic.
func (l *topicList) counted(m message, o ingest.Options) error {
	t := &l.found[m.topic]
	t.count++
	if t.first != nil {
		return nil
	}
	if err := o.Take(len(m.data), 1); err != nil {
		return err
	}
	t.first = append([]byte{}, m.data...)
	return nil
}

// limitsOf returns the limits of what chunks and messages decompress to.
func limitsOf(o ingest.Options) unpack.Limits {
	return unpack.Limits{Bytes: int64(o.MaxBytes), Account: o.Account}
}

// orElse returns the error of a recording without topics because it is damaged.
func (l *topicList) orElse(damage error) error {
	if len(l.found) > 0 {
		return nil
	}
	return damage
}

// plain returns the message type as ROS 1 writes it, without "msg".
func (t topic) plain() string { return strings.Replace(t.kind, "/msg/", "/", 1) }

// message is one message of a topic.
type message struct {
	topic int       // index
	time  time.Time // of recording
	data  []byte
}

// messages returns messages one by one; ok is false at the end.
type messages interface {
	message(ctx context.Context) (m message, ok bool, err error)
	close() error
}

// bag is a ROS recording.
type bag interface {
	topics() []topic
	// read returns the messages of the topics with these indices, in order.
	read(ctx context.Context, topics []int) (messages, error)
	close() error
}

// pointCloud2 is the message type of a complete cloud.
const pointCloud2 = "sensor_msgs/PointCloud2"

const (
	ousterPackets = "ouster_ros/PacketMsg"
	// text may be the metadata of an Ouster.
	textMessage = "std_msgs/String"
)

// scanFamilies are the sensors whose packets are in messages of a type, unless they are those of another sensor that
// can be recognized.
var scanFamilies = map[string]family{
	"velodyne_msgs/VelodyneScan": velodyneFamily, "pandar_msgs/PandarScan": hesaiFamily,
	"hesai_lidar/PandarScan":       hesaiFamily,
	"robosense_msgs/RobosenseScan": robosenseFamily, "rslidar_msg/RslidarPacket": robosenseFamily,
	"rslidar_msgs/rslidarScan": robosenseFamily, "nebula_msgs/NebulaPackets": unknown, ousterPackets: ousterFamily,
	"ouster_sensor_msgs/PacketMsg": ousterFamily, "ouster_msgs/PacketMsg": ousterFamily,
}

// openBag returns the tracks of a recording: one for each topic of packets or clouds that has messages. It closes b on
// error; otherwise the recording does.
func openBag(ctx context.Context, file string, b bag, o ingest.Options) (opened, error) {
	r, err := tracksOf(ctx, file, b, o)
	if err != nil {
		return opened{}, errors.Join(err, b.close())
	}
	return r, nil
}

func tracksOf(ctx context.Context, file string, b bag, o ingest.Options) (opened, error) {
	topics := b.topics()
	metas := bagMetas(topics)
	var all []*track
	index := map[*track]int{}
	var errs []error
	for i, t := range topics {
		if t.first == nil || t.encoding != "cdr" && t.encoding != "ros1" {
			continue
		}
		k, err := trackOf(t, metas, file, o)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", t, err))
		}
		if k != nil {
			index[k] = i
			all = append(all, k)
		}
	}
	if len(all) == 0 {
		if len(errs) > 0 {
			return opened{}, errors.Join(errs...)
		}
		return opened{}, noTopic(topics)
	}
	for _, err := range errs {
		o.Note("left out %v", err)
	}
	tracks, err := start(all, o)
	if err != nil {
		return opened{}, err
	}
	for i := range topics {
		topics[i].first = nil
	}
	wanted := make([]int, len(tracks))
	for i, t := range tracks {
		wanted[i] = index[t]
	}
	begin := func() (*bagRecording, error) {
		m, err := b.read(ctx, wanted)
		if err != nil {
			return nil, err
		}
		return &bagRecording{messages: m, topics: topics, wanted: wanted, limits: messageLimits(o)}, nil
	}
	rec, err := begin()
	if err != nil {
		return opened{}, err
	}
	rec.bag = b
	r := opened{rec, tracks}
	if err := r.prepare(ctx, func() (recording, error) { return begin() }, o); err != nil {
		return opened{}, errors.Join(err, rec.messages.close())
	}
	return r, nil
}

// noTopic is the error of a recording without a topic that can be read.
func noTopic(topics []topic) error {
	kinds := []string{pointCloud2}
	for k := range scanFamilies {
		kinds = append(kinds, k)
	}
	slices.Sort(kinds)
	if len(topics) == 0 {
		return fmt.Errorf("found no topic, want one of %s", list(kinds))
	}
	return fmt.Errorf("found topics %s; want one with messages of %s", list(topics), list(kinds))
}

// trackOf returns the track of a topic; nil if it holds neither packets nor clouds.
func trackOf(t topic, metas []bagMeta, file string, o ingest.Options) (*track, error) {
	k := &track{name: t.name, count: t.count}
	if t.plain() == pointCloud2 {
		k.clouds, k.model = true, "PointCloud2"
		o.Account = o.Account.Part()
		k.begin = func() (decoder, func(packet) bool, error) {
			return &cloudDecoder{limits: o, ros1: t.encoding == "ros1"}, func(packet) bool { return true }, nil
		}
		return k, nil
	}
	kind, ok := scanFamilies[t.plain()]
	if !ok {
		return nil, nil
	}
	ps, err := t.packets(message{data: t.first}, messageLimits(o))
	if err != nil && len(ps) == 0 {
		return nil, err
	}
	var sample packet
	for _, p := range ps {
		if sample = p; familyOf(p) != unknown {
			kind = familyOf(p)
			break
		}
	}
	switch {
	case kind != ousterFamily:
		k.model = modelOf(sample)
		k.begin = func() (decoder, func(packet) bool, error) {
			if kind == unknown {
				return nil, nil, fmt.Errorf("found packets of %d bytes, want those %s", len(sample.data), supported)
			}
			return newDecoder(kind, otherCalibration(o))
		}
		return k, nil
	case len(sample.data) < ousterSmallest && !slices.ContainsFunc(metas, func(m bagMeta) bool {
		return m.meta.fits(sample.data)
	}): // inertial measurements
		return nil, nil
	}
	meta, err := ousterOf(t, sample, metas, file, o)
	if err != nil {
		return nil, err
	}
	k.model = meta.model()
	k.begin = func() (decoder, func(packet) bool, error) {
		d := newOusterDecoder(meta)
		return d, d.fits, nil
	}
	return k, nil
}

// ousterSmallest is smaller than any lidar packet of an Ouster, and larger than its inertial measurements.
const ousterSmallest = 512

// bagMeta is the metadata of an Ouster in a message.
type bagMeta struct {
	topic string
	meta  *ousterMeta
}

// maxBagMetas limits the sensors whose metadata a recording holds.
const maxBagMetas = 256

// bagMetas returns the metadata of Ousters in the first messages of topics.
func bagMetas(topics []topic) (out []bagMeta) {
	for _, t := range topics {
		if len(out) == maxBagMetas {
			break
		}
		if t.plain() != textMessage || t.first == nil {
			continue
		}
		c := t.reader(t.first)
		if meta, err := parseOusterMeta([]byte(c.string())); c.err == nil && err == nil {
			meta.file = t.name
			out = append(out, bagMeta{t.name, meta})
		}
	}
	return out
}

// ousterOf returns the metadata for a topic of packets: that in the same namespace, else in any other, else beside the
// recording.
func ousterOf(t topic, p packet, inside []bagMeta, file string, o ingest.Options) (*ousterMeta, error) {
	given := isMeta(optionsOf(o).Calibration)
	var near, all []*ousterMeta
	if !given {
		for _, m := range inside {
			if all = append(all, m.meta); path.Dir(m.topic) == path.Dir(t.name) {
				near = append(near, m.meta)
			}
		}
	}
	if len(near) == 1 && near[0].fits(p.data) {
		return chooseMeta(near, p, true, o)
	}
	if len(all) > 0 {
		return chooseMeta(all, p, false, o)
	}
	metas, err := ousterBeside(file, o)
	if err == nil && len(metas) == 0 {
		metas, err = ousterNear(file, o)
	}
	if len(metas) == 0 {
		return nil, fmt.Errorf(
			"an Ouster needs its metadata in a topic of %s or beside the recording as %s: %w",
			textMessage,
			stemOf(file)+metaExt,
			err,
		)
	}
	return chooseMeta(metas, p, given, o)
}

// bagRecording returns the packets in the messages of the tracks.
type bagRecording struct {
	messages
	bag    bag // closed with the recording; nil if it is used by another
	topics []topic
	wanted []int // topics of the tracks
	queue  []packet
	limits unpack.Limits // its account is that of the current message
}

// messageLimits returns the limits of one message, with an account of its own.
func messageLimits(o ingest.Options) unpack.Limits {
	return unpack.Limits{Bytes: maxMessage, Account: o.Account.Part()}
}

// maxMessage limits the size of one message; a scan of the largest sensors has about 2 MiB.
const maxMessage = 64 << 20

func (r *bagRecording) next(ctx context.Context) (packet, bool, error) {
	for len(r.queue) == 0 {
		r.limits.Account.Close()
		m, ok, err := r.message(ctx)
		if err != nil || !ok {
			return packet{}, false, err
		}
		track := slices.Index(r.wanted, m.topic)
		if track < 0 {
			continue
		}
		if r.queue, err = r.topics[m.topic].packets(m, r.limits); err != nil {
			r.queue = append(r.queue, packet{err: err})
		}
		for i := range r.queue {
			r.queue[i].track = track
		}
	}
	p := r.queue[0]
	r.queue = r.queue[1:]
	return p, true, nil
}

func (r *bagRecording) close() error {
	err := r.messages.close()
	if r.bag != nil {
		err = errors.Join(err, r.bag.close())
	}
	return err
}

// reader reads a message from its start.
func (t topic) reader(data []byte) *cdr {
	if t.encoding == "ros1" {
		return newROS1(data)
	}
	return newCDR(data)
}

// packets extracts the packets of a message, or the message itself if it is a cloud.
func (t topic) packets(m message, l unpack.Limits) ([]packet, error) {
	data, err := unpackMessage(m.data, l)
	if err != nil {
		return nil, err
	}
	if t.plain() == pointCloud2 {
		return []packet{{time: m.time, data: data}}, nil
	}
	return scanMessages[t.plain()].packets(t.reader(data), m.time)
}

// unpackMessage decompresses a message of a ROS 2 recording with --compression-mode message. A message that is not
// compressed begins with a zero.
func unpackMessage(data []byte, l unpack.Limits) ([]byte, error) {
	if !unpack.IsZstd(data) {
		return data, nil
	}
	data, err := unpack.Zstd(data, l)
	if err != nil {
		return nil, fmt.Errorf("compressed message: %w", err)
	}
	return data, nil
}

// maxAhead limits the packets inspected before reading begins, to more than one second of the fastest sensor.
const maxAhead = 4000

// preparer is a decoder that needs information which may come after the first packets.
type preparer interface {
	// prepare looks at a packet that add gets later. more says that it wants further ones.
	prepare(p packet) (more bool, err error)
}

var _, _ preparer = (*hesaiDecoder)(nil), (*robosenseDecoder)(nil)

// prepare lets decoders look at the packets that come first. A decoder may need information that comes late, and a
// missing or wrong calibration is reported before reading begins. A track whose decoder reports an error is left out
// with a note, unless there is no other.
func (r *opened) prepare(ctx context.Context, begin func() (recording, error), o ingest.Options) (err error) {
	open := 0
	see := make([]preparer, len(r.tracks))
	for i, t := range r.tracks {
		if p, ok := t.dec.(preparer); ok {
			see[i] = p
			open++
		}
	}
	if open == 0 {
		return nil
	}
	rec, err := begin()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rec.close()) }()
	var errs []error
	for n := 0; open > 0 && n < maxAhead*len(r.tracks); n++ {
		p, ok, err := rec.next(ctx)
		if err != nil || !ok {
			break // reported when it is read
		}
		if p.track < 0 || see[p.track] == nil {
			continue
		}
		more, err := see[p.track].prepare(p)
		if err != nil {
			r.tracks[p.track].ended = true
			errs = append(errs, fmt.Errorf("%s: %w", r.tracks[p.track], err))
		}
		if err != nil || !more {
			see[p.track] = nil
			open--
		}
	}
	if len(errs) == len(r.tracks) {
		return errors.Join(errs...)
	}
	for _, err := range errs {
		o.Note("left out %v", err)
	}
	return nil
}
