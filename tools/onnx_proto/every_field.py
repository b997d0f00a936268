"""Writes a model with a value in every field of ONNX's schema: crates/io/tests/data/every_field.onnx.

Run with the newest `onnx` package; the test `no_field_is_lost` of `occam-io` then fails where `onnx::proto` lacks one
of its fields.

    python tools/onnx_proto/every_field.py crates/io/tests/data/every_field.onnx
"""

import sys

import onnx
from google.protobuf.descriptor import FieldDescriptor as F


def fill(message, open_types=()):
    """Sets every field, one message for each member of a oneof; types inside themselves are left empty."""
    open_types = (*open_types, message.DESCRIPTOR.name)
    for field in message.DESCRIPTOR.fields:
        if field.containing_oneof and field.containing_oneof.fields[0] != field:
            continue
        set_field(message, field, open_types)
    return message


def set_field(message, field, open_types):
    name, repeated = field.name, field.is_repeated
    if field.type == F.TYPE_MESSAGE:
        kind = field.message_type
        if kind.name in open_types:
            (getattr(message, name).add() if repeated else getattr(message, name).SetInParent())
            return
        target = getattr(message, name)
        child = target.add() if repeated else target
        child.SetInParent()
        fill(child, open_types)
        # The other members of a oneof, each in a message of its own, where there is room for several.
        for oneof in kind.oneofs if repeated else []:
            for member in oneof.fields[1:]:
                set_field(target.add(), member, (*open_types, kind.name))
        return
    value = {
        F.TYPE_STRING: f"{message.DESCRIPTOR.name}.{name}",
        F.TYPE_BYTES: b"\xff" + name.encode(),
        F.TYPE_FLOAT: 0.5,
        F.TYPE_DOUBLE: 0.25,
        F.TYPE_ENUM: 1,
    }.get(field.type, field.number + 300)
    if repeated:
        getattr(message, name).extend([value, value])
    else:
        setattr(message, name, value)


def main(path):
    model = fill(onnx.ModelProto())
    # Fields of a type that are oneofs in a single field: all kinds of types, as the types of more values.
    for member in onnx.TypeProto.DESCRIPTOR.oneofs[0].fields:
        value = model.graph.value_info.add(name=member.name)
        set_field(value.type, member, ("ModelProto",))
        value.type.denotation = "denotation"
    data = model.SerializeToString(deterministic=True)
    # Elements of external tensors are in no file: this is a model to decode, not to load.
    with open(path, "wb") as file:
        file.write(data)
    print(f"{len(data)} bytes, onnx {onnx.__version__}")


if __name__ == "__main__":
    main(sys.argv[1])
