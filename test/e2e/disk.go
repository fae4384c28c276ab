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

// makeImage creates a sparse file with an empty ext4 file system.
func makeImage(path string, bytes int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(bytes), f.Close()); err != nil {
		return fmt.Errorf("make disk %s: %w", path, err)
	}
	// No blocks are reserved for root, so the kubelet sees the full size. The tables are
	// left as holes, which read as zeros.
	out, err := exec.Command("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1", path).CombinedOutput()
	if err != nil {
		return fmt.Errorf("mkfs.ext4 %s: %w\n%s", path, err, out)
	}
	return nil
}

// mountImage mounts the file system in image at dir and returns the name of its loop device
// (loop(4)), which is released with the mount.
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
	defer device.Close() // the mount keeps it open
	if err := unix.Mount(device.Name(), dir, "ext4", 0, ""); err != nil {
		return "", fmt.Errorf("mount %s at %s: %w", image, dir, err)
	}
	return name, nil
}

// attach attaches the file to a free loop device. Another process may take the device
// first; then it tries the next one.
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

// copyImage copies the file behind a mounted loop device: what the file system has written
// to its disk, without what is in memory. That is the state after a power cut of a disk
// that keeps everything it was given. A copy during writes would be no state of any moment,
// so it repeats the copy until there were no writes.
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
	return fmt.Errorf("copy %s: writes never stopped", from)
}

// written returns the state of a block device's writes: requests in flight and sectors done
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

// copySparse copies the parts of a file that contain data (lseek(2), SEEK_DATA).
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
			return dst.Truncate(info.Size()) // only a hole remains
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
