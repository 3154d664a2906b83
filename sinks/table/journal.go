package table

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/voxelstream/voxelstream/internal/durable"
	"github.com/voxelstream/voxelstream/internal/regular"
)

// A journal holds the rows that are durable, but not yet in the file that it belongs to. It is a header, then frames.
// A frame is a mark, the length of its content and its CRC-32C (little-endian, 4 bytes each), and the content: a batch
// of rows. Each frame is synced before the next is written, so that only the last can be incomplete after a crash.
const (
	journalHeader = "VSJRNL1\n"
	frameMark     = "\xffROW"
	frameHead     = len(frameMark) + 8
	// maxFrame is the maximum length of the content of a frame: that of a batch with its last row.
	maxFrame = 2 * MaxBatch
	// framedRows is the maximum number of rows in a frame.
	framedRows = 1 << 16
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// journal is an open journal. It is locked against other processes.
type journal struct {
	path string
	file *os.File
	// end is the length of the complete frames, rows the number of rows in them. torn is set if there may be more after
	// them, because a write has failed. That is cut off before the next write.
	end  int64
	rows int
	torn bool
	disk disk
}

// disk has the operations that change files. Tests let them fail.
type disk struct {
	// before is called before each operation. Its error is that of the operation.
	before func(operation string) error
}

// try performs an operation.
func (d disk) try(operation string, do func() error) error {
	if d.before != nil {
		if err := d.before(operation); err != nil {
			return fmt.Errorf("%s: %w", operation, err)
		}
	}
	return do()
}

// journalPath returns the name of the journal of a file.
func journalPath(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".journal")
}

// openJournal opens or creates the journal of a file and calls use for each batch in it. What a crash has left of the
// last frame is cut off; its rows were never acknowledged.
func openJournal(path string, d disk, use func(*Batch) error) (*journal, error) {
	j := &journal{path: journalPath(path), disk: d}
	var err error
	if j.file, err = durable.OpenLocked(j.path, durable.NoFollow); err != nil {
		return nil, err
	}
	if err := j.load(use); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", j.path, err), j.file.Close())
	}
	return j, nil
}

// load reads the journal.
func (j *journal) load(use func(*Batch) error) error {
	info, err := j.file.Stat()
	if err != nil {
		return err
	}
	f := frames{r: j.file, size: info.Size()}
	if err := f.header(); err != nil {
		return err
	}
	for {
		b, err := f.next()
		if errors.Is(err, io.EOF) || errors.Is(err, errTorn) {
			j.end, j.torn = f.at, f.at < info.Size()
			return j.cut()
		}
		if err == nil {
			j.rows += b.Rows
			err = use(b)
		}
		if err != nil {
			return err
		}
	}
}

// frames reads the frames of a journal.
type frames struct {
	r       io.ReaderAt
	at      int64 // end of the last complete frame
	size    int64
	content []byte
	batch   *Batch
}

// errTorn means that the rest of the journal is what a crash has left of its last frame.
var errTorn = errors.New("found an incomplete frame")

// header skips the header. If a crash has left it incomplete, the journal is empty.
func (f *frames) header() error {
	head := make([]byte, min(f.size, int64(len(journalHeader))))
	if err := f.read(head, 0); err != nil {
		return err
	}
	switch {
	case string(head) == journalHeader:
		f.at = int64(len(head))
		return nil
	case len(head) == 0:
		return nil
	case !strings.HasPrefix(journalHeader, string(bytes.TrimRight(head, "\x00"))):
		return fmt.Errorf("found %q, want a journal, which begins with %q", head, journalHeader)
	}
	if err := f.torn(); !errors.Is(err, errTorn) {
		return err
	}
	f.size = 0
	return nil
}

func (f *frames) read(b []byte, offset int64) error {
	if n, err := f.r.ReadAt(b, offset); n < len(b) {
		return fmt.Errorf("offset %d: %w", offset, err)
	}
	return nil
}

// next returns the next batch, which is used until the call after it, or [io.EOF].
func (f *frames) next() (*Batch, error) {
	left := f.size - f.at
	if left <= 0 {
		return nil, io.EOF
	}
	var head [frameHead]byte
	if left < int64(len(head)) {
		return nil, errTorn
	}
	if err := f.read(head[:], f.at); err != nil {
		return nil, err
	}
	n := int64(binary.LittleEndian.Uint32(head[4:]))
	if string(head[:4]) != frameMark || n == 0 || n > maxFrame || n > left-int64(len(head)) {
		return nil, f.torn()
	}
	if int64(cap(f.content)) < n {
		f.content = make([]byte, n)
	}
	f.content = f.content[:n]
	if err := f.read(f.content, f.at+int64(len(head))); err != nil {
		return nil, err
	}
	if crc32.Checksum(f.content, castagnoli) != binary.LittleEndian.Uint32(head[8:]) {
		return nil, f.torn()
	}
	if f.batch == nil {
		f.batch = NewBatch()
	}
	if err := errors.Join(f.batch.decode(f.content), f.batch.check()); err != nil {
		return nil, fmt.Errorf("frame at offset %d: %w", f.at, err)
	}
	f.at += int64(len(head)) + n
	return f.batch, nil
}

// torn returns errTorn if the rest can be what a crash has left of one frame. Otherwise the journal is damaged, and
// nothing of it must be cut off: the rest is too long, or a complete frame follows.
func (f *frames) torn() error {
	left := f.size - f.at
	if left > maxFrame+int64(frameHead) {
		return fmt.Errorf("offset %d: found no complete frame in %d bytes", f.at, left)
	}
	rest := make([]byte, left)
	if err := f.read(rest, f.at); err != nil {
		return err
	}
	for at := 1; ; at++ {
		i := bytes.Index(rest[at:], []byte(frameMark))
		if i < 0 {
			return errTorn
		}
		at += i
		if len(rest)-at < frameHead {
			return errTorn
		}
		content := rest[at+frameHead:]
		n := int64(binary.LittleEndian.Uint32(rest[at+4:]))
		sum := binary.LittleEndian.Uint32(rest[at+8:])
		if n > 0 && n <= int64(len(content)) && crc32.Checksum(content[:n], castagnoli) == sum {
			return fmt.Errorf("offset %d: found damage before a complete frame at offset %d", f.at, f.at+int64(at))
		}
	}
}

// frame appends a frame with the rows of a batch to out.
func frame(out []byte, b *Batch) []byte {
	from := len(out)
	out = append(out, frameMark+"\x00\x00\x00\x00\x00\x00\x00\x00"...)
	out = b.encode(out)
	content := out[from+frameHead:]
	binary.LittleEndian.PutUint32(out[from+4:], uint32(len(content))) // BatchWriter limits it
	binary.LittleEndian.PutUint32(out[from+8:], crc32.Checksum(content, castagnoli))
	return out
}

// follow checks what other programs have done to the journal since the last write. If it was renamed or removed, the
// next start would not find its rows, so they are written to a new journal.
func (j *journal) follow() error {
	info, err := j.file.Stat()
	if err != nil {
		return err
	}
	if size := info.Size(); size < j.end {
		return fmt.Errorf("found %d bytes in %s, want %d: another program has truncated it; %d rows are lost unless "+
			"the missing bytes are restored", size, j.path, j.end, j.rows)
	}
	there, err := os.Lstat(j.path)
	if err == nil && os.SameFile(info, there) {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := durable.OpenLocked(j.path, durable.NoFollow)
	if err != nil {
		return fmt.Errorf("cannot create a new journal to replace one that was renamed or removed: %w", err)
	}
	if err := j.copyTo(file); err != nil {
		return errors.Join(err, file.Close())
	}
	old := j.file
	j.file = file
	return old.Close()
}

// copyTo copies the complete frames to an empty file and makes them durable.
func (j *journal) copyTo(file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if info.Size() > 0 {
		return fmt.Errorf("found %d bytes in %s that another program has put in place of the journal; move the file "+
			"elsewhere", info.Size(), j.path)
	}
	return j.disk.try("copy the journal", func() error {
		if _, err := io.Copy(file, io.NewSectionReader(j.file, 0, j.end)); err != nil {
			return errors.Join(err, file.Truncate(0))
		}
		return errors.Join(file.Sync(), durable.Sync(filepath.Dir(j.path)))
	})
}

// append writes a frame with a number of rows and makes it durable. If that fails, the journal is as before.
func (j *journal) append(frame []byte, rows int) error {
	if err := j.follow(); err != nil {
		return err
	}
	if err := j.cut(); err != nil {
		return err
	}
	at := j.end
	j.torn = true // until everything has succeeded
	if at == 0 {
		if err := j.disk.try("write the header of the journal", func() error {
			_, err := j.file.WriteAt([]byte(journalHeader), 0)
			return err
		}); err != nil {
			return errors.Join(err, j.cut())
		}
		at = int64(len(journalHeader))
	}
	err := j.disk.try("write to the journal", func() error {
		_, err := j.file.WriteAt(frame, at)
		return err
	})
	if err == nil {
		err = j.disk.try("sync the journal", j.file.Sync)
	}
	if err == nil && j.end == 0 {
		err = j.disk.try("sync the folder of the journal", func() error { return durable.Sync(filepath.Dir(j.path)) })
	}
	if err != nil {
		return errors.Join(err, j.cut())
	}
	j.end, j.rows, j.torn = at+int64(len(frame)), j.rows+rows, false
	return nil
}

// cut truncates the journal after its last complete frame.
func (j *journal) cut() error {
	if !j.torn {
		return nil
	}
	if err := j.disk.try("cut the journal", func() error { return j.file.Truncate(j.end) }); err != nil {
		return err
	}
	j.torn = false
	return nil
}

// empty removes all rows, durably.
func (j *journal) empty() error {
	if err := j.disk.try("empty the journal", func() error { return j.file.Truncate(0) }); err != nil {
		return err
	}
	j.end, j.rows, j.torn = 0, 0, false
	return j.disk.try("sync the empty journal", j.file.Sync)
}

// reader returns the rows.
func (j *journal) reader() *BatchReader {
	f := frames{r: j.file, at: min(j.end, int64(len(journalHeader))), size: j.end}
	return NewBatchReader(f.next)
}

// close closes the journal, and removes it if it is empty.
func (j *journal) close() error {
	var err error
	if j.rows == 0 {
		err = os.Remove(j.path)
	}
	return errors.Join(err, j.file.Close())
}

// Journal opens the journal of a file that a staged sink has written: the rows that are durable, but not yet in the
// file. If the sink was killed while it published them, they may be in the file too. There may be another process that
// appends rows.
func Journal(path string) (Reader, error) {
	file, info, err := regular.Open(journalPath(path))
	if err != nil {
		return nil, err
	}
	f := &frames{r: file, size: info.Size()}
	if err := f.header(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &journalReader{NewBatchReader(func() (*Batch, error) {
		b, err := f.next()
		if errors.Is(err, errTorn) {
			err = io.EOF
		}
		return b, err
	}), file}, nil
}

type journalReader struct {
	*BatchReader
	io.Closer
}
