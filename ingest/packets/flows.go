package packets

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/voxelstream/voxelstream/ingest"
)

// family is a maker of sensors whose packets can be told from others.
type family int

const (
	unknown family = iota
	velodyneFamily
	hesaiFamily
	robosenseFamily
	ousterFamily
	families
)

// familyOf returns the family of a packet. Those of Ouster cannot be recognized without metadata.
func familyOf(p packet) family {
	switch {
	case isVelodyne(p):
		return velodyneFamily
	case isHesai(p):
		return hesaiFamily
	case isRoboSense(p):
		return robosenseFamily
	}
	return unknown
}

// flowKey identifies the datagrams that one socket sends to a port, by one link, and for an Ouster those of one serial
// number and size.
type flowKey struct {
	from netip.AddrPort
	port uint16
	via  link
	ousterKey
}

// ousterKey is the serial number and size of the packets of an Ouster; zero for other packets. Packets of old
// sensors have no number.
type ousterKey struct {
	serial uint64
	size   int
}

func (k ousterKey) String() string {
	if k.serial == 0 {
		return fmt.Sprintf("-of-%d-bytes", k.size)
	}
	return fmt.Sprintf("-serial-%d", k.serial)
}

// flow is what a capture holds of the datagrams of a key.
type flow struct {
	flowKey
	sizes  map[int]int // datagrams of unknown families by size
	kinds  [families]kindCount
	tracks [families]int // index, or -1
}

// kindCount counts the packets of a family in a flow.
type kindCount struct {
	count       int
	first, last int // positions among all datagrams
	sample, end packet
}

const (
	// maxFlows and maxSizes limit the flows, and the distinct sizes in each, that are told apart.
	maxFlows = 4096
	maxSizes = 32
	// maxPorts limits the source ports of an address that are taken for several sensors.
	maxPorts = 16
)

// flows are those of a capture. If there are more than can be told apart, others counts their datagrams.
type flows struct {
	metas  []*ousterMeta
	byKey  map[flowKey]*flow
	list   []*flow
	last   *flow
	others int
}

// of returns the family of a datagram and its flow, which is nil if there are too many.
func (f *flows) of(d *datagram) (family, *flow) {
	kind := familyOf(packet{data: d.data})
	key := flowKey{from: d.from, port: d.port, via: d.via}
	if kind == unknown {
		if i := slices.IndexFunc(f.metas, func(m *ousterMeta) bool { return m.fits(d.data) }); i >= 0 {
			kind = ousterFamily
			key.ousterKey = ousterKey{f.metas[i].serial(d.data), len(d.data)}
		}
	}
	return kind, f.at(key)
}

// at returns the flow of a key, or nil if there are too many.
func (f *flows) at(key flowKey) *flow {
	if f.last != nil && f.last.flowKey == key {
		return f.last
	}
	found := f.byKey[key]
	if found == nil {
		if len(f.list) == maxFlows {
			f.others++
			return nil
		}
		found = &flow{flowKey: key, sizes: map[int]int{}}
		f.byKey[key] = found
		f.list = append(f.list, found)
	}
	f.last = found
	return found
}

// scanFlows reads a whole capture. The error is that of a capture that is cut off.
func scanFlows(ctx context.Context, c *capture, metas []*ousterMeta) (*flows, error) {
	f := &flows{metas: metas, byKey: map[flowKey]*flow{}}
	for n := 0; ; n++ {
		d, ok, err := c.next(ctx)
		if err != nil || !ok {
			return f, err
		}
		kind, w := f.of(&d)
		if w == nil {
			continue
		}
		if _, known := w.sizes[len(d.data)]; kind == unknown && (known || len(w.sizes) < maxSizes) {
			w.sizes[len(d.data)]++
		}
		p := packet{time: d.time, port: d.port, data: d.data}
		k := &w.kinds[kind]
		if k.count == 0 {
			k.first, k.sample = n, p
		}
		k.count++
		k.last, k.end = n, p
	}
}

// sender is the sensor of a family at an address that sends to a port, by one or several flows.
type sender struct {
	kind  family
	from  netip.Addr
	port  uint16
	flows []*flow
}

// senders groups the flows of sensors. A sensor that restarts may use another source port; flows at the same time
// are of several sensors behind one address, or of one that was captured on several links.
func (f *flows) senders(o ingest.Options) []*sender {
	var out []*sender
	for kind := velodyneFamily; kind < families; kind++ {
		var all []*flow
		for _, w := range f.list {
			if w.kinds[kind].count > 0 {
				all = append(all, w)
			}
		}
		slices.SortStableFunc(all, func(a, b *flow) int {
			return cmp.Or(a.from.Addr().Compare(b.from.Addr()), cmp.Compare(a.port, b.port),
				cmp.Compare(a.kinds[kind].first, b.kinds[kind].first))
		})
		for len(all) > 0 {
			n := 1
			for n < len(all) && all[n].from.Addr() == all[0].from.Addr() && all[n].port == all[0].port {
				n++
			}
			out = append(out, splitFlows(kind, all[:n], o)...)
			all = all[n:]
		}
	}
	return out
}

// splitFlows makes senders of the flows of one address to one port.
func splitFlows(kind family, all []*flow, o ingest.Options) (out []*sender) {
	if len(all) > maxPorts && all[0].ousterKey == (ousterKey{}) {
		o.Note("%s:%d: packets come from %d source ports and are taken to be those of one sensor", all[0].from.Addr(),
			all[0].port, len(all))
		return []*sender{{kind, all[0].from.Addr(), all[0].port, all}}
	}
	for _, w := range all {
		k := w.kinds[kind]
		if slices.ContainsFunc(out, func(s *sender) bool { return s.same(w) }) {
			o.Note(
				"%s:%d%s: the same packets were captured on another link, too, and are read once",
				w.from.Addr(),
				w.port,
				w.via,
			)
			continue
		}
		i := slices.IndexFunc(out, func(s *sender) bool {
			last := s.flows[len(s.flows)-1]
			return last.kinds[kind].last < k.first && last.ousterKey == w.ousterKey
		})
		if i >= 0 {
			out[i].flows = append(out[i].flows, w)
			continue
		}
		out = append(out, &sender{kind, w.from.Addr(), w.port, []*flow{w}})
	}
	return out
}

func (s *sender) count() (n int) {
	for _, w := range s.flows {
		n += w.kinds[s.kind].count
	}
	return n
}

// same reports whether a flow has the same packets: those at its start or its end.
func (s *sender) same(w *flow) bool {
	k := &w.kinds[s.kind]
	return slices.ContainsFunc(s.flows, func(f *flow) bool {
		other := &f.kinds[s.kind]
		return f.via != w.via &&
			(bytes.Equal(k.sample.data, other.sample.data) || bytes.Equal(k.end.data, other.end.data))
	})
}

func (s *sender) sample() packet { return s.flows[0].kinds[s.kind].sample }

// name is the source address and destination port, with the source port, the link or the serial number if several
// senders share these.
func (s *sender) name(all []*sender) string {
	name := netip.AddrPortFrom(s.from, s.port).String()
	ports, links, sensors := false, false, false
	for _, other := range all {
		if other != s && other.from == s.from && other.port == s.port {
			ports = ports || other.flows[0].from.Port() != s.flows[0].from.Port()
			links = links || other.flows[0].via != s.flows[0].via
			sensors = sensors || other.flows[0].ousterKey != s.flows[0].ousterKey
		}
	}
	if ports {
		name += fmt.Sprintf("-from-%d", s.flows[0].from.Port())
	}
	if links {
		name += s.flows[0].via.String()
	}
	if sensors {
		name += s.flows[0].ousterKey.String()
	}
	return name
}

// flowRecording returns the packets of the tracks of a capture.
type flowRecording struct {
	*capture
	flows *flows
}

func (r *flowRecording) next(ctx context.Context) (packet, bool, error) {
	for {
		d, ok, _ := r.capture.next(ctx) // an error was noted when the flows were found
		if !ok {
			return packet{}, false, ctx.Err()
		}
		kind, w := r.flows.of(&d)
		if w == nil {
			continue
		}
		p := packet{time: d.time, port: d.port, data: d.data}
		if p.track = w.tracks[kind]; p.track >= 0 {
			return p, true, nil
		}
	}
}

func (r *flowRecording) close() error { return nil }

func openCapture(ctx context.Context, path string, o ingest.Options) (opened, error) {
	data, err := ingest.ReadFile(path, o)
	if err != nil {
		return opened{}, err
	}
	c, err := newCapture(data)
	if err != nil {
		return opened{}, err
	}
	metas, metaErr := ousterBeside(path, o)
	f, err := scanFlows(ctx, c, metas)
	if len(metas) == 0 && f.large() {
		var nearErr error
		if metas, nearErr = ousterNear(path, o); errors.Is(metaErr, errNoMeta) {
			metaErr = nearErr
		}
		if len(metas) > 0 {
			if c, err = newCapture(data); err != nil {
				return opened{}, err
			}
			f, err = scanFlows(ctx, c, metas)
		}
	}
	if err != nil {
		if c.seen.frames == 0 || ctx.Err() != nil {
			return opened{}, err
		}
		o.Note("%v", err)
	}
	all := f.senders(o)
	merged := mergeInfo(all)
	var tracks []*track
	owner := map[*track]*sender{}
	var errs []error
	for _, s := range merged {
		t := &track{name: s.name(merged), port: s.port, count: s.count()}
		if err := s.prepare(t, metas, o); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", t.name, err))
			continue
		}
		owner[t] = s
		tracks = append(tracks, t)
	}
	if len(tracks) == 0 {
		if len(errs) > 0 {
			return opened{}, errors.Join(errs...)
		}
		err := nothing(path, c, f, metas)
		if metaErr != nil && !errors.Is(metaErr, errNoMeta) {
			err = fmt.Errorf("%w; %w", metaErr, err)
		}
		return opened{}, err
	}
	for _, err := range errs {
		o.Note("left out %v", err)
	}
	c.remarks(o)
	f.remarks(tracks, o)
	started, err := start(tracks, o)
	if err != nil {
		return opened{}, err
	}
	for _, w := range f.list {
		for k := range w.tracks {
			w.tracks[k] = -1
		}
	}
	for i, t := range started {
		for _, w := range owner[t].flows {
			w.tracks[owner[t].kind] = i
		}
	}
	again, err := newCapture(data)
	if err != nil {
		return opened{}, err
	}
	f.last = nil
	r := opened{&flowRecording{again, f}, started}
	return r, r.prepare(ctx, func() (recording, error) {
		again, err := newCapture(data)
		return &flowRecording{again, f}, err
	}, o)
}

// large reports whether there are datagrams that may be those of an Ouster: larger than inertial measurements.
func (f *flows) large() bool {
	return slices.ContainsFunc(f.list, func(w *flow) bool {
		for n := range w.sizes {
			if w.port == ousterPort || ousterSize(n) {
				return true
			}
		}
		return false
	})
}

// mergeInfo adds the flows of RoboSense's device information, which has a port of its own, to the sender of the data
// at the same address, or to the only one.
func mergeInfo(all []*sender) []*sender {
	var data, info, out []*sender
	for _, s := range all {
		switch {
		case s.kind != robosenseFamily:
			out = append(out, s)
		case isRoboSenseInfo(s.sample().data):
			info = append(info, s)
		default:
			data = append(data, s)
		}
	}
	for _, i := range info {
		k := slices.IndexFunc(data, func(s *sender) bool { return s.from == i.from })
		if k < 0 && len(data) == 1 {
			k = 0
		}
		if k >= 0 {
			data[k].flows = append(data[k].flows, i.flows...)
		}
	}
	return append(out, data...)
}

// prepare sets the model of a track and how to create its decoder.
func (s *sender) prepare(t *track, metas []*ousterMeta, o ingest.Options) error {
	p := s.sample()
	if s.kind != ousterFamily {
		t.model = modelOf(p)
		t.begin = func() (decoder, func(packet) bool, error) { return newDecoder(s.kind, otherCalibration(o)) }
		return nil
	}
	meta, err := chooseMeta(metas, p, isMeta(optionsOf(o).Calibration), o)
	if err != nil {
		return err
	}
	t.model = meta.model()
	t.begin = func() (decoder, func(packet) bool, error) {
		d := newOusterDecoder(meta)
		return d, d.fits, nil
	}
	return nil
}

// newDecoder returns a decoder of a family other than Ouster.
func newDecoder(kind family, calibration string) (decoder, func(packet) bool, error) {
	switch kind {
	case hesaiFamily:
		return newHesaiDecoder(calibration), isHesai, nil
	case robosenseFamily:
		d, err := newRoboSenseDecoder(calibration)
		return d, isRoboSense, err
	default:
		d, err := newVelodyneDecoder(calibration)
		return d, isVelodyne, err
	}
}

// modelOf returns the model that a packet names.
func modelOf(p packet) string {
	switch familyOf(p) {
	case velodyneFamily:
		if m := velodynes[p.data[velodyneModel]]; m != nil && !isHDL64(p.data) {
			return "Velodyne " + m.name
		}
		return "Velodyne"
	case hesaiFamily:
		return "Hesai " + hesaiOf(p.data).name
	case robosenseFamily:
		return "RoboSense Helios"
	default:
		return "unknown"
	}
}

// remarks notes what a capture holds besides whole datagrams.
func (c *capture) remarks(o ingest.Options) {
	if c.seen.cut > 0 {
		o.Note("%d of %s were captured with at most %d bytes each and are left out where they are cut", c.seen.cut,
			ingest.Plural(c.seen.frames, "packet"), c.seen.snap)
	}
	if c.seen.short > 0 && c.seen.cut == 0 {
		o.Note("%s shorter than their headers say are left out", ingest.Plural(c.seen.short, "packet"))
	}
	if c.seen.broken > 0 {
		o.Note("%s lack fragments and are left out", ingest.Plural(c.seen.broken, "datagram"))
	}
	if c.seen.damaged > 0 {
		o.Note("%s left out", ingest.Plural(c.seen.damaged, "damaged block"))
	}
	for _, link := range slices.Sorted(maps.Keys(c.seen.links)) {
		o.Note("%s of %s are left out", ingest.Plural(c.seen.links[link], "packet"), linkName(link))
	}
}

func linkName(link uint32) string {
	if name := linkNames[link]; name != "" {
		return fmt.Sprintf("link type %d (%s)", link, name)
	}
	return fmt.Sprintf("link type %d", link)
}

// remarks notes datagrams that look like those of a sensor which is not supported: as many bytes as a tenth of what
// is read.
func (f *flows) remarks(tracks []*track, o ingest.Options) {
	read := 0
	for _, t := range tracks {
		read += t.count
	}
	var rest []size
	for _, s := range f.sizes() {
		const small = 512 // position packets and inertial measurements are not larger
		if s.bytes > small && s.count*10 >= read {
			rest = append(rest, s)
		}
	}
	if len(rest) > 0 {
		o.Note("left out what no supported sensor sends: %s", list(rest))
	}
}

// size counts the datagrams of a size to a port.
type size struct {
	bytes int
	port  uint16
	from  netip.Addr
	count int
}

func (s size) String() string {
	return fmt.Sprintf(
		"%s of %d bytes from %s to port %d",
		ingest.Plural(s.count, "UDP datagram"),
		s.bytes,
		s.from,
		s.port,
	)
}

// sizes lists the datagrams of unknown families by size, the most frequent first.
func (f *flows) sizes() []size {
	sum := map[size]int{}
	for _, w := range f.list {
		for bytes, n := range w.sizes {
			sum[size{bytes, w.port, w.from.Addr(), 0}] += n
		}
	}
	var out []size
	for s, n := range sum {
		s.count = n
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b size) int {
		return cmp.Or(cmp.Compare(b.count, a.count), cmp.Compare(b.bytes, a.bytes), a.from.Compare(b.from),
			cmp.Compare(a.port, b.port))
	})
	return out
}

// supported describes the datagrams that can be decoded.
const supported = "of a Velodyne (1206 bytes), a Hesai PandarQT64, XT16 or 40P (1072, 568, 1262 or 1266 bytes), a " +
	"RoboSense Helios (1248 bytes) or an Ouster"

// nothing is the error of a capture without packets of a sensor: what it holds instead.
func nothing(path string, c *capture, f *flows, metas []*ousterMeta) error {
	var found []string
	if c.seen.cut > 0 {
		found = append(found, fmt.Sprintf("%d of %s captured with %d bytes of each packet, which are too few (record "+
			"with a snap length of 65535)", c.seen.cut, ingest.Plural(c.seen.frames, "packet"), c.seen.snap))
	}
	sizes := f.sizes()
	if len(sizes) > 0 {
		found = append(found, list(sizes))
	}
	for _, link := range slices.Sorted(maps.Keys(c.seen.links)) {
		found = append(
			found,
			fmt.Sprintf("%s of %s, which is not supported", ingest.Plural(c.seen.links[link], "packet"),
				linkName(link)),
		)
	}
	if c.seen.broken > 0 {
		found = append(found, ingest.Plural(c.seen.broken, "datagram")+" with missing fragments")
	}
	if c.seen.short > 0 && c.seen.cut == 0 {
		found = append(found, ingest.Plural(c.seen.short, "packet")+" shorter than their headers say")
	}
	if c.seen.other > 0 {
		found = append(found, ingest.Plural(c.seen.other, "packet")+" that are not UDP")
	}
	if len(found) == 0 {
		found = append(found, "no packet")
	}
	hint := ""
	name := stemOf(path) + metaExt
	for _, m := range metas {
		hint += fmt.Sprintf("; the sensor of %s sends %d bytes", m.file, m.size())
	}
	if len(metas) == 0 &&
		slices.ContainsFunc(sizes, func(s size) bool { return s.port == ousterPort || ousterSize(s.bytes) }) {
		hint = fmt.Sprintf("; an Ouster recording needs the sensor's metadata beside it as %s", name)
	}
	return fmt.Errorf("found %s; want UDP datagrams %s with its metadata in %s%s", strings.Join(found, "; "), supported,
		name, hint)
}
