//! Files that PyTorch wrote (`tools/golden/pth.py`), broken ones, and pickles by hand.

use occam_graph::{Array, DType};
use proptest::prelude::*;

use super::*;

fn golden(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/pth");
    std::fs::read(folder.join(name)).unwrap()
}

fn error(bytes: &[u8]) -> String {
    parse(bytes, None).map_err(|f| f.at(Path::new("w.pth"))).unwrap_err().to_string()
}

fn numbers(array: &Array) -> Vec<f32> {
    array.as_f32().unwrap().to_vec()
}

/// A legacy file around the pickle of its object.
fn legacy_file(pickle: &[u8]) -> Vec<u8> {
    let magic = [b"\x80\x02\x8a\x0a".as_slice(), &0x1950_a86a_20f9_469c_fc6c_u128.to_le_bytes()[..10], b"."];
    [&magic.concat(), b"\x80\x02M\xe9\x03.".as_slice(), b"\x80\x02}.", pickle, b"\x80\x02]."].concat()
}

#[test]
fn both_layouts_read_alike() {
    for name in ["archive.pth", "legacy.pth"] {
        let read = parse(&golden(name), None).unwrap();
        assert_eq!(read.at, Vec::<String>::new());
        let w = &read.weights;
        let shape = |name: &str| w[name].shape().to_vec();
        assert_eq!(shape("dense"), [2, 3, 4]);
        assert_eq!(numbers(&w["dense"]), (0u8..24).map(f32::from).collect::<Vec<_>>());
        assert_eq!(shape("transposed"), [6, 4]);
        assert_eq!(numbers(&w["transposed"])[..5], [0.0, 6.0, 12.0, 18.0, 1.0]);
        assert_eq!(numbers(&w["slice"]), [6.0, 8.0, 10.0, 12.0, 14.0, 16.0]);
        assert_eq!(numbers(&w["expanded"]), [5.0; 6]);
        assert_eq!((shape("scalar"), w["scalar"].as_i64().unwrap()), (vec![], &[7][..]));
        assert_eq!((shape("empty"), w["empty"].len()), (vec![0, 3], 0));
        let kinds = [
            ("float32", DType::F32),
            ("float64", DType::F64),
            ("float16", DType::F16),
            ("bfloat16", DType::BF16),
            ("int8", DType::I8),
            ("uint8", DType::U8),
            ("int32", DType::I32),
            ("int64", DType::I64),
            ("bool", DType::Bool),
        ];
        for (name, dtype) in kinds {
            assert_eq!((w[name].dtype(), w[name].shape()), (dtype, &[3][..]), "{name}");
            if dtype.is_float() {
                assert_eq!(numbers(&w[name].to_f32().unwrap()), [0.0, 1.0, 2.0], "{name}");
            }
        }
        assert_eq!(w["int64"].as_i64().unwrap(), [0, 1, 2]);
        assert_eq!(w["bool"].to_le_bytes(), [0, 1, 1]);
        assert_eq!(w.len(), 6 + kinds.len());
    }
}

#[test]
fn what_mmengine_keeps_beside_weights_is_passed_over() {
    for name in ["mmengine.pth", "mmengine_legacy.pth"] {
        let file = golden(name);
        let read = parse(&file, None).unwrap();
        assert_eq!(
            (read.at, read.others),
            (vec!["state_dict".to_owned()], vec!["ema_state_dict".to_owned()])
        );
        assert_eq!(read.weights.keys().collect::<Vec<_>>(), ["weight", "bias"]);
        let averages = parse(&file, Some("ema_state_dict")).unwrap();
        assert_eq!(averages.weights.keys().collect::<Vec<_>>(), ["weight", "bias", "steps"]);
        let sum = |array: &Array| numbers(array).iter().sum::<f32>();
        let moved = sum(&averages.weights["weight"]) - sum(&read.weights["weight"]);
        assert!((moved - 2.0).abs() < 1e-5, "{moved}");
        let missing = parse(&file, Some("ema")).map_err(|f| f.at(Path::new("w"))).unwrap_err().to_string();
        assert!(
            missing.contains("no dict under `ema`; there are tensors under state_dict, ema_state_dict"),
            "{missing}"
        );
    }
}

#[test]
fn parameters_of_protocol_4() {
    let read = parse(&golden("protocol4.pth"), None).unwrap();
    assert_eq!(read.at, ["model"]);
    assert_eq!(numbers(&read.weights["w"]), [0.0, 1.0, 2.0, 3.0]);
    assert_eq!(read.weights["n"].dtype(), DType::I32);
}

#[test]
fn code_is_named_and_not_run() {
    for name in ["evil_archive.pth", "evil_legacy.pth"] {
        assert!(
            error(&golden(name)).contains("it would run code, `posix.system`"),
            "{}",
            error(&golden(name))
        );
    }
    let calls = [
        ("c__builtin__\neval\n", "__builtin__.eval"),
        ("cbuiltins\ngetattr\n", "builtins.getattr"),
        ("ctorch\nload\n", "torch.load"),
        ("ctorch.hub\nload\n", "torch.hub.load"),
        ("cnumpy.testing._private.utils\nrunstring\n", "runstring"),
        ("csubprocess\nPopen\n", "subprocess.Popen"),
        ("cmodels.yolo\nDetect\n", "models.yolo.Detect"),
    ];
    for (import, wanted) in calls {
        for call in ["(X\x01\0\0\0atR.", ")\u{81}."] {
            // The second is NEWOBJ, one byte of Latin-1.
            let program: Vec<u8> = format!("{import}{call}").chars().map(|c| c as u8).collect();
            if call.starts_with(')') && ["torch.load", "torch.hub.load"].contains(&wanted) {
                continue;
            }
            let error = error(&legacy_file(&program));
            assert!(error.contains(wanted), "{error}");
        }
    }
    // Mentioned without being called, code does nothing.
    let harmless = legacy_file(b"}X\x01\0\0\0acposix\nsystem\ns.");
    assert!(error(&harmless).contains("no tensors by name; its keys are a"), "{}", error(&harmless));
    // What stands under the keys is told, whatever they are: here a number of a number, and a sparse tensor.
    let others = legacy_file(b"}(K\x03K\x04X\x01\0\0\0actorch._utils\n_rebuild_sparse_tensor\n)Ru.");
    let told = "its keys are an int (an int), a (a sparse tensor)";
    assert!(error(&others).contains(told), "{}", error(&others));
}

#[test]
fn other_files_are_told() {
    let module = error(&golden("module.pth"));
    assert!(module.contains("whole object of `torch.nn.modules.linear.Linear`"), "{module}");
    for (pickle, wanted) in [
        (b"\x80\x02K\x01.".as_slice(), "it holds an int"),
        (b"\x80\x09", "protocol 9"),
        (b"h\x05.", "nothing is kept as 5"),
        (b"].", "it holds a list"),
        (b"u.", "there is no mark"),
        (b"\x82\x01.", "instruction 0x82"),
    ] {
        let error = error(&legacy_file(pickle));
        assert!(error.contains(wanted), "{error}");
    }
    assert!(error(b"PK\x03\x04").contains("cut off"));
}

/// `x.conj().imag` is kept as `x.imag` and a bit that says to negate it.
#[test]
fn what_is_put_off_is_not_forgotten() {
    let file = one_tensor("0", "I2\n", "I1\n");
    let plain = b"tI00\nNtRs.";
    let at = file.windows(plain.len()).position(|w| w == plain).unwrap();
    for (metadata, bit) in [("}X\x03\0\0\0negI01\ns", "neg"), ("}X\x04\0\0\0conjI01\ns", "conj")] {
        let mut changed = file[..at].to_vec();
        changed.extend(format!("tI00\nN{metadata}tRs.").bytes());
        changed.extend(&file[at + plain.len()..]);
        let error = error(&changed);
        assert!(error.contains(&format!("x.resolve_{bit}()")), "{error}");
    }
}

/// A pickle of `{'w': tensor}` over a storage of 4 floats in a legacy file.
fn one_tensor(offset: &str, shape: &str, strides: &str) -> Vec<u8> {
    let pickle = format!(
        "}}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x04NtQI{offset}\n({shape}t({strides}tI00\nNtRs."
    );
    let mut file = legacy_file(pickle.as_bytes());
    file.truncate(file.len() - 4);
    file.extend(b"\x80\x02]X\x01\0\0\x000a.");
    file.extend(4u64.to_le_bytes());
    for x in [1f32, 2.0, 3.0, 4.0] {
        file.extend(x.to_le_bytes());
    }
    file
}

#[test]
fn tensors_stay_inside_their_storage() {
    let read = parse(&one_tensor("1", "I3\n", "I1\n"), None).unwrap();
    assert_eq!(numbers(&read.weights["w"]), [2.0, 3.0, 4.0]);
    for (offset, shape, strides, wanted) in [
        ("2", "I3\n", "I1\n", "past its storage of 16 bytes"),
        ("0", "I2\n", "I9\n", "past its storage"),
        ("-1", "I2\n", "I1\n", "the offset is -1"),
        ("0", "I-2\n", "I1\n", "the sizes have -2"),
        ("0", "I2\nI2\n", "I1\n", "2 sizes but 1 strides"),
        ("9223372036854775807", "I2\n", "I9223372036854775807\n", "past its storage"),
        ("0", "I9223372036854775807\nI4\n", "I0\nI0\n", "too many elements"),
        ("0", "I100000000\n", "I0\n", "far more memory"),
    ] {
        let error = error(&one_tensor(offset, shape, strides));
        assert!(error.contains(wanted), "{error}, not {wanted}");
    }
}

#[test]
fn depth_and_cycles_cost_nothing() {
    let deep = [vec![b'N'], vec![0x85; 300_000], vec![b'.']].concat();
    assert!(error(&legacy_file(&deep)).contains("it holds a tuple"));
    // A dict that is its own state dict.
    let cycle = legacy_file(b"}q\x01X\x0a\0\0\0state_dicth\x01s.");
    assert!(error(&cycle).contains("no tensors by name"), "{}", error(&cycle));
}

#[test]
fn calls_copy_nothing_large() {
    // A tensor's sizes, a dict's pairs and a method's name, each of which a memo could give to many calls.
    let sizes = one_tensor("0", &"I1\n".repeat(65), &"I1\n".repeat(65));
    assert!(error(&sizes).contains("the sizes are 65, more than 64"), "{}", error(&sizes));
    let dict = legacy_file(
        b"ccollections\nOrderedDict\n](K\x01K\x02ta\x85q\x01R0ccollections\nOrderedDict\nh\x01R.",
    );
    assert!(error(&dict).contains("its keys are none"), "{}", error(&dict));
    let name = "X".repeat(2000);
    let method = legacy_file(format!("cbuiltins\ngetattr\n(ctorch\nTensor\nV{name}\ntR.").as_bytes());
    assert!(error(&method).contains("builtins.getattr"), "{}", error(&method));
}

#[test]
fn writes_what_it_reads() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.pth");
    let weights = parse(&golden("archive.pth"), None).unwrap().weights;
    save(&path, &weights).unwrap();
    let read = load(&path, None).unwrap();
    assert_eq!(read.weights, weights);
    assert!(read.weights.keys().eq(weights.keys()));
    let none = dir.path().join("none.pth");
    save(&none, &Weights::new()).unwrap();
    assert!(load(&none, None).unwrap_err().to_string().contains("no tensors by name"));
}

#[test]
fn truncations_and_flips_never_panic() {
    for name in ["archive.pth", "legacy.pth", "mmengine_legacy.pth", "protocol4.pth"] {
        let whole = golden(name);
        for end in 0..whole.len() {
            assert!(parse(&whole[..end], None).is_err(), "{name} cut at {end}");
        }
        let mut flipped = whole.clone();
        for i in 0..whole.len() {
            for mask in [0x01, 0x80, 0xff] {
                flipped[i] ^= mask;
                let _ = parse(&flipped, None);
                flipped[i] ^= mask;
            }
        }
    }
}

proptest! {
    #[test]
    fn no_pickle_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&legacy_file(&bytes), None);
        let _ = parse(&bytes, None);
    }

    #[test]
    fn no_program_panics(ops in prop::collection::vec(prop::sample::select(
        vec!["(", ")", "]", "}", "N", "K\x01", "t", "\u{85}", "\u{86}", "u", "s", "a", "e", "q\x01", "h\x01", "R", "b", "0", "2",
             "Q", "X\x01\0\0\x000", "ctorch\nFloatStorage\n", "ctorch._utils\n_rebuild_tensor_v2\n", "ccollections\nOrderedDict\n",
             "X\x07\0\0\0storage"]), 0..60)) {
        let program: Vec<u8> = ops.concat().chars().map(|c| c as u8).chain(*b".").collect();
        let _ = parse(&legacy_file(&program), None);
    }
}
