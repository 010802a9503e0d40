A condition of an unknown name is said where it stands.
--ARGS--
compile @IN@
--IN yaml--
vocab: 16
dim: 8
layers: [{block: mine}]
blocks:
  - block: mine
    params: {twice: false}
    ops:
      - {when: twise, op: h = h + h}
--ERR--
@IN@:8:16: error: unknown name 'twise'
--EXIT--
2
