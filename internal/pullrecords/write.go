package pullrecords

import "errors"

// RemoveIntents removes the intents of the images whose normalised names are names and
// returns them as the pods spell them. It is for a kubelet that does not run: one that runs
// keeps its intents in memory.
func RemoveIntents(root string, names []string) (removed []string, err error) {
	return nil, errors.New("remove intents: not there yet")
}

// Trust records that every pod of the node may use the image imageRef under each of the
// repositories, whatever credentials it was pulled with. What the record has of other
// repositories stays. It is read by a kubelet of the version, which must be restarted to
// see it.
//
// A record makes the kubelet verify the image under every other repository too, so
// repositories must be all that have it.
func Trust(root, version, imageRef string, repositories ...string) error {
	return errors.New("trust: not there yet")
}
