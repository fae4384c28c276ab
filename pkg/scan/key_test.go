package scan

import "testing"

func TestKeys(t *testing.T) {
	type row struct{ image, images bool }
	for key, want := range map[string]row{
		"image": {true, false}, "Image": {true, false}, "baseImage": {true, false}, "helper_image": {true, false}, "proxy-image": {true, false},
		"imageName": {true, false}, "image_name": {true, false}, "imageRef": {true, false}, "sidecar.demo.net/proxyImage": {true, false},
		"spec.image": {true, false}, "HELPER_IMAGE": {true, true}, "IMAGES": {true, true},
		"images": {false, true}, "relatedImages": {false, true}, "extra_images": {false, true},
		"imagePullPolicy": {}, "imageTag": {}, "imageVersion": {}, "imagePullSecrets": {}, "imageID": {}, "img": {}, "": {},
		"IMAGE_VERSION": {}, "IMAGE_PULL_POLICY": {}, "outputImage": {}, "destinationImage": {}, "pushImage": {}, "targetImage": {true, false},
		"outputImages": {},
	} {
		if got := (row{imageKey(key), imagesKey(key)}); got != want {
			t.Errorf("%s: %v, want %v", key, got, want)
		}
	}
}

func TestFlags(t *testing.T) {
	for flag, want := range map[string]bool{
		"--image": true, "-image": true, "--acme-solver-image": true, "-configmapServerImage": true, "--images": true, "--image-name": true,
		"image": false, "--imag": false, "--image-tag": false, "--image-pull-policy": false, "--image-pull-secrets": false,
		"--utilImageVersion": false, "--workerImageTag": false, "--image-repository": false, "--stage": false,
	} {
		if imageFlag(flag) != want {
			t.Errorf("imageFlag(%q) = %v", flag, !want)
		}
	}
	for flag, want := range map[string]bool{
		"--destination": true, "--output": true, "--cache-repo": true, "--push-image": true, "destination": false, "--image": false, "--pushgateway": false,
	} {
		if targetFlag(flag) != want {
			t.Errorf("targetFlag(%q) = %v", flag, !want)
		}
	}
}

// TestKeyParts cuts and compares keys.
func TestKeyParts(t *testing.T) {
	for key, want := range map[string]string{
		"image": "image", "sidecar.istio.io/proxyImage": "proxyImage", "spec.image": "image", "a/b/c": "c", "": "", "a.": "",
	} {
		if got := lastSegment(key); got != want {
			t.Errorf("lastSegment(%q) = %q, want %q", key, got, want)
		}
	}
	for key, want := range map[string]string{
		"image": "image", "fooImage": "fooimage", "foo_image": "fooimage", "foo-Image-": "fooimage", "_-": "", "": "", "é": "é",
	} {
		if got := squash(key); got != want {
			t.Errorf("squash(%q) = %q, want %q", key, got, want)
		}
	}
	for key, want := range map[string]bool{"A": true, "A_1": true, "_": true, "": false, "a": false, "A-B": false, "Á": false} {
		if isUpperName(key) != want {
			t.Errorf("isUpperName(%q) = %v", key, !want)
		}
	}
	for name, want := range map[string]bool{"FOO_IMAGE": true, "configImages": true, "image": true, "IMAGE_X": false, "": false} {
		if endsInImage(name) != want {
			t.Errorf("endsInImage(%q) = %v", name, !want)
		}
	}
	for key, want := range map[string]bool{"labels": true, "description": true, "managedFields": true, "label": false, "image": false} {
		if skippedKey(key) != want {
			t.Errorf("skippedKey(%q) = %v", key, !want)
		}
	}
}

// TestVariableNames judges the names of environment variables in any case.
func TestVariableNames(t *testing.T) {
	for name, want := range map[string]bool{
		"IMAGE": true, "FOO_IMAGE": true, "IMAGE_FOO": true, "RELATED_IMAGE_X": true, "someImage": true, "my-image": true, "IMAGES": true,
		"IMAGE_TAG": false, "IMAGE_VERSION": false, "IMAGE_PULL_POLICY": false, "image.repository": false, "IMAGE-REGISTRY": false,
		"IMAGE_ID": false, "IMG": false, "IMAG": false, "": false, "IMAGINE": false, "PILGRIMAGE": true,
	} {
		if imageVariable(name) != want {
			t.Errorf("imageVariable(%q) = %v", name, !want)
		}
	}
}
