# Short names for plain commands; each also works typed out.

# What `just` alone does.
default: check

# Three servers, both planes, live figures.
demo:
    cargo run --release -- demo

# Fast feedback: types and lints of everything.
check:
    cargo clippy --workspace --all-targets -- -D warnings

# Format all of it.
fmt:
    cargo fmt --all

# Every check; what CI runs.
test:
    tests/run

# One promise, for example `just promise c3`.
promise id:
    cargo test --workspace {{ id }}_

# A minute of load with a file edited every 50 ms, and one of 400 clients in a queue.
soak:
    WEIR_TEST_SOAK=60 cargo test -p weir-tests --test it s5_ -- --nocapture
    WEIR_TEST_SOAK=60 cargo test -p weir-tests --test it soak -- --nocapture

# A Kubernetes API for tests, until ctrl-d; see CONTRIBUTING.md.
cluster dir="/tmp/weir-cluster":
    go run -C tests/cluster . up --dir {{ dir }}

# CPU per request beside nginx; or other parts, for example `just bench control`.
bench *parts:
    tests/bench/run {{ parts }}

# Write deploy/crds/ anew from the Rust types.
crds:
    UPDATE=1 cargo test -p weir-control-plane crds

# Licences, bans, advisories (needs cargo-deny).
deny:
    cargo deny check
