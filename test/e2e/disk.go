//go:build linux

package e2e

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// makeImage makes a file that holds an empty ext4 file system. It is sparse: it takes the
// space of what is written into it.
func makeImage(path string, bytes int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(bytes), f.Close()); err != nil {
		return fmt.Errorf("make disk %s: %w", path, err)
	}
	// No blocks kept for root: the whole size is what a kubelet sees. The tables are left
	// as holes, which read as zeros.
	out, err := exec.Command("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1", path).CombinedOutput()
	if err != nil {
		return fmt.Errorf("mkfs.ext4 %s: %w\n%s", path, err, out)
	}
	return nil
}

// mountImage mounts the file system in image at dir and gives the name of its loop device
// (loop(4)). The device goes away with the mount.
func mountImage(image, dir string) (string, error) {
	backing, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer backing.Close()
	name, device, err := attach(backing)
	if err != nil {
		return "", fmt.Errorf("attach %s to a loop device: %w", image, err)
	}
	defer device.Close() // the mount holds it from now on
	if err := unix.Mount(device.Name(), dir, "ext4", 0, ""); err != nil {
		return "", fmt.Errorf("mount %s at %s: %w", image, dir, err)
	}
	return name, nil
}

// attach takes a free loop device for the file. Between the asking and the taking somebody
// else may have taken it; then the next one is asked for.
func attach(backing *os.File) (string, *os.File, error) {
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return "", nil, err
	}
	defer control.Close()
	for {
		i, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return "", nil, err
		}
		name := fmt.Sprintf("loop%d", i)
		device, err := os.OpenFile("/dev/"+name, os.O_RDWR, 0)
		if err != nil {
			return "", nil, err
		}
		config := unix.LoopConfig{Fd: uint32(backing.Fd())}
		config.Info.Flags = unix.LO_FLAGS_AUTOCLEAR
		err = unix.IoctlLoopConfigure(int(device.Fd()), &config)
		if err == nil {
			return name, device, nil
		}
		device.Close()
		if !errors.Is(err, unix.EBUSY) {
			return "", nil, err
		}
	}
}

// copyImage copies the file behind a mounted loop device as it is: what the file system has
// handed to its disk, without what it still holds in memory. That is what a power cut leaves
// of a disk that keeps what it was given. The file system may be writing meanwhile, and then
// the copy would be of no moment at all, so it is taken again until nothing was written.
func copyImage(from, loop, to string) error {
	for range 100 {
		before, err := written(loop)
		if err != nil {
			return err
		}
		if err := copySparse(from, to); err != nil {
			return err
		}
		if after, err := written(loop); err != nil || after == before {
			return err
		}
	}
	return fmt.Errorf("copy %s: it is written without a pause", from)
}

// written is the state of a block device's writing: requests in flight and sectors done
// (Documentation/block/stat.rst of Linux: fields 5 to 9).
func written(loop string) (string, error) {
	b, err := os.ReadFile(filepath.Join("/sys/block", loop, "stat"))
	if err != nil {
		return "", err
	}
	var readDone, readMerged, readSectors, readTicks, writeDone, writeMerged, writeSectors, writeTicks, flying int64
	_, err = fmt.Sscan(string(b), &readDone, &readMerged, &readSectors, &readTicks, &writeDone, &writeMerged, &writeSectors, &writeTicks, &flying)
	if err != nil {
		return "", fmt.Errorf("read the counters of %s: %w", loop, err)
	}
	return fmt.Sprint(writeDone, writeSectors, flying), nil
}

// copySparse copies the parts of a file that hold data (lseek(2), SEEK_DATA).
func copySparse(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	info, err := src.Stat()
	if err != nil {
		return err
	}
	dst, err := os.Create(to)
	if err != nil {
		return err
	}
	defer dst.Close()
	for at := int64(0); ; {
		data, err := src.Seek(at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return dst.Truncate(info.Size()) // only a hole is left
		}
		if err != nil {
			return err
		}
		hole, err := src.Seek(data, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.NewOffsetWriter(dst, data), io.NewSectionReader(src, data, hole-data)); err != nil {
			return err
		}
		at = hole
	}
}
