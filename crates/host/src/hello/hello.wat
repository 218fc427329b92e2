;; The WebAssembly half of the built-in image `hello`: WASI preview 1, one write and an exit status.
;; build.rs fills in the text of wasm.txt for @TEXT@ and its length in bytes for @LENGTH@.
(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  ;; 0: the iovec (address, length); 8: how much was written; 16: the text
  (data (i32.const 0) "\10\00\00\00")
  (data (i32.const 16) "@TEXT@")
  (func (export "_start")
    (i32.store (i32.const 4) (i32.const @LENGTH@))
    (loop $more
      (if (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))
        (then (call $proc_exit (i32.const 1))))
      (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.load (i32.const 8))))
      (i32.store (i32.const 4) (i32.sub (i32.load (i32.const 4)) (i32.load (i32.const 8))))
      (br_if $more (i32.load (i32.const 4))))))
