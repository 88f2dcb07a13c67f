;; Wants something of the proxy that the contract does not have.
(component
  (import "acme:secrets/store@1.0.0" (instance (export "all" (func))))
  (core module $Nothing (func (export "run")))
  (core instance $nothing (instantiate $Nothing))
  (func $run (canon lift (core func $nothing "run")))
  (instance $done (export "run" (func $run)))
  (export "weir:plugin/done@0.1.0" (instance $done)))
