;; Takes 1 MiB of memory before its first call.
(component
  (core module $Large (memory 16) (func (export "run")))
  (core instance $large (instantiate $Large))
  (func $run (canon lift (core func $large "run")))
  (instance $done (export "run" (func $run)))
  (export "weir:plugin/done@0.1.0" (instance $done)))
