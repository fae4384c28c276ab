package pullrecords

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"stowage/internal/fsutil"
)

// RemoveIntents removes the intents of the images names, under every spelling, and returns
// them as the pods spell them, in order. An intent that cannot be read, as a power cut leaves
// it, is removed with them. It is for a kubelet that does not run: an intent claims a pull
// in progress then that is none. A kubelet that runs has its intents in memory.
//
// On an error, removed has what was removed before it.
func RemoveIntents(root string, names []string) (removed []string, err error) {
	dir := filepath.Join(root, stateDir, pullingDir)
	files, err := recordFiles(dir)
	if err != nil {
		return nil, fmt.Errorf("remove intents of the kubelet: %w", err)
	}
	wanted := map[string]bool{}    // by normalised name
	spelled := map[string]string{} // by the file's name
	for _, name := range names {
		wanted[normalise(name)] = true
		for _, s := range spellings(name) {
			spelled[fileName(s)] = s
		}
	}
	for _, file := range files {
		path := filepath.Join(dir, file)
		image := spelled[file]
		if data, err := readFile(path, maxFile); err == nil {
			if key, _, _, err := decodeIntent(data); err == nil {
				image = key
			}
		}
		if !wanted[normalise(image)] {
			continue
		}
		if err := os.Remove(path); err != nil {
			return removed, fmt.Errorf("remove intent of the kubelet: %w", err)
		}
		removed = append(removed, image)
	}
	slices.Sort(removed)
	removed = slices.Compact(removed)
	if len(removed) > 0 {
		err = fsutil.SyncDir(dir)
	}
	return removed, err
}

// Trust records that every pod of the node may use the image imageRef under each of the
// repositories, in every spelling, whatever credentials it was pulled with. What the record
// has of other repositories stays. The file has the newest format that the kubelet reads. A
// kubelet that runs must be restarted to see it: until then [Records.Decide] says that it is
// not read.
//
// The record makes the kubelet verify the image under all other repositories, even if it
// had none before and accepted the image as preloaded: repositories must be all under which
// CRI has it.
//
// A record that is not readable is replaced, as the kubelet does. One of a newer version is
// an error.
func Trust(root string, s Settings, imageRef string, repositories ...string) error {
	if err := trust(root, s, imageRef, repositories); err != nil {
		return fmt.Errorf("record %s as usable by every pod: %w", quote(imageRef), err)
	}
	return nil
}

func trust(root string, s Settings, imageRef string, repositories []string) error {
	if imageRef == "" || len(repositories) == 0 {
		return errors.New("no image")
	}
	dir, err := makeDirs(root)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, fileName(imageRef))
	rec, err := recordToChange(path, imageRef)
	if err != nil {
		return err
	}
	for _, name := range repositories {
		repository, err := repositoryNormalised(name)
		if err != nil {
			return err
		}
		for _, spelling := range spellings(repository) {
			rec.Repositories[spelling] = credentials{NodeAccessible: true}
		}
	}
	rec.Process = s.Process
	data, err := encodeRecord(rec, formatOf(s.Version), time.Now())
	if err != nil {
		return err
	}
	return fsutil.Replace(path, fsutil.ReplaceOptions{Mode: 0o600}, func(f *os.File) error {
		_, err := f.Write(data)
		return err
	})
}

// recordToChange returns the record at path, or an empty one.
func recordToChange(path, imageRef string) (record, error) {
	empty := record{ImageRef: imageRef, Repositories: map[string]credentials{}}
	data, err := readFile(path, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return empty, nil
	}
	if err != nil {
		return empty, fmt.Errorf("%s: %w", path, err)
	}
	key, rec, _, err := decodeRecord(data)
	if errors.Is(err, errNewer) {
		return empty, fmt.Errorf("%s: %w", path, err)
	}
	if err != nil || key != imageRef {
		return empty, nil
	}
	return rec, nil
}

// makeDirs makes the directory of the records as the kubelet does, and returns it. root
// must exist.
func makeDirs(root string) (string, error) {
	parent := filepath.Join(root, stateDir)
	dir := filepath.Join(parent, pulledDir)
	for _, d := range []string{parent, dir} {
		err := os.Mkdir(d, 0o700)
		if err == nil {
			err = fsutil.SyncDir(filepath.Dir(d))
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return "", err
		}
		if err := isDir(d); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// formatOf returns the newest format that a kubelet of the version reads.
func formatOf(version string) string {
	if v, ok := parseVersion(version); ok && v.minor < 35 {
		return alpha
	}
	return beta
}

// The JSON of a record, with the fields in the order of the kubelet.
type (
	recordJSON struct {
		Kind              string                     `json:"kind"`
		APIVersion        string                     `json:"apiVersion"`
		LastUpdatedTime   string                     `json:"lastUpdatedTime"`
		ImageRef          string                     `json:"imageRef"`
		CredentialMapping map[string]credentialsJSON `json:"credentialMapping,omitempty"`
	}
	credentialsJSON struct {
		KubernetesSecrets         []secretJSON  `json:"kubernetesSecrets,omitempty"`
		KubernetesServiceAccounts []accountJSON `json:"kubernetesServiceAccounts,omitempty"`
		NodePodsAccessible        bool          `json:"nodePodsAccessible,omitempty"`
	}
	secretJSON struct {
		accountJSON
		CredentialHash string `json:"credentialHash"`
	}
	accountJSON struct {
		UID       string `json:"uid"`
		Namespace string `json:"namespace"`
		Name      string `json:"name"`
	}
)

// encodeRecord returns the file of a record. The fraction of a second in its time is
// rec.Process: the kubelet reads such a time, and writes whole
// seconds itself.
func encodeRecord(rec record, format string, now time.Time) ([]byte, error) {
	now = now.UTC().Truncate(time.Second).Add(time.Duration(rec.Process))
	out := recordJSON{
		Kind: recordKind, APIVersion: group + format, LastUpdatedTime: now.Format(time.RFC3339Nano),
		ImageRef: rec.ImageRef, CredentialMapping: map[string]credentialsJSON{},
	}
	for repository, c := range rec.Repositories {
		j := credentialsJSON{NodePodsAccessible: c.NodeAccessible}
		for _, s := range c.Secrets {
			j.KubernetesSecrets = append(j.KubernetesSecrets, secretJSON{accountJSON{s.UID, s.Namespace, s.Name}, s.Hash})
		}
		for _, a := range c.ServiceAccounts {
			j.KubernetesServiceAccounts = append(j.KubernetesServiceAccounts, accountJSON(a))
		}
		out.CredentialMapping[repository] = j
	}
	data, err := json.Marshal(out)
	return append(data, '\n'), err
}
