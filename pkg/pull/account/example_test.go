package account_test

import (
	"context"
	"fmt"
	"io/fs"

	"stowage/pkg/pull/account"
)

// A pull secret of the manifests comes before the user's own login, and a
// password is never printed.
func Example() {
	files := map[string]string{
		"/home/ann/.docker/config.json": `{"auths": {
			"https://index.docker.io/v1/": {"auth": "YW5uOnNlY3JldA=="},
			"quay.io": {"auth": "YW5uOnNlY3JldA=="}}}`,
	}
	environment := &account.Environment{ // omit it for the real one
		Home: "/home/ann",
		UID:  1000,
		ReadFile: func(path string) ([]byte, error) {
			if text, ok := files[path]; ok {
				return []byte(text), nil
			}
			return nil, fs.ErrNotExist
		},
	}
	store, err := account.Load(account.Options{
		Environment: environment,
		Secrets: []account.Secret{{
			Namespace: "kube-system", Name: "regcred", Type: account.DockerConfigJSON,
			Payload: account.Redact(`{"auths": {"docker.io": {"username": "team", "password": "s3cret"}}}`),
		}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	accounts, err := store.For(context.Background(), "docker.io/calico/cni", []string{"kube-system/regcred"})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, a := range accounts {
		fmt.Println(a)
	}
	// Output:
	// password for docker.io from secret kube-system/regcred
	// password for https://index.docker.io/v1/ from ~/.docker/config.json
}

// Explain is what --explain-auth prints.
func ExampleStore_Explain() {
	store, err := account.Load(account.Options{
		Environment: &account.Environment{UID: -1},
		Logins:      []account.Login{{Registry: "quay.io", Username: "ann", Password: account.Redact("secret")}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, repo := range []string{"quay.io/team/app", "ghcr.io/team/app"} {
		fmt.Println(repo)
		for _, line := range store.Explain(context.Background(), repo, nil) {
			fmt.Println(" ", line)
		}
	}
	// Output:
	// quay.io/team/app
	//   used: --creds (quay.io): password
	//   absent: --authfile: not set
	//   absent: DOCKER_AUTH_CONFIG: not set
	//   absent: REGISTRY_AUTH_FILE: not set
	// ghcr.io/team/app
	//   no match: --creds: none of its entries (1) is about ghcr.io
	//   absent: --authfile: not set
	//   absent: DOCKER_AUTH_CONFIG: not set
	//   absent: REGISTRY_AUTH_FILE: not set
	//   used: anonymous: no source has an account for ghcr.io
}
