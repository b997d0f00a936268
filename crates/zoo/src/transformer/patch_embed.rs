//! From images to tokens.

use occam_graph::ops::{AdaptivePad, Conv, Flatten, OpFamily, Transpose};
use occam_graph::{Fact, Role, ValueId};
use serde::{Deserialize, Deserializer};

use super::{LayerNormCfg, torch_default};
use crate::error::refuse;
use crate::{Net, Result};

/// One size for both axes, or one for each.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged, expecting = "an int or a pair of them")]
pub(crate) enum Pair {
    Both(usize),
    Each([usize; 2]),
}

impl Pair {
    /// Height and width.
    pub fn sizes(self) -> [usize; 2] {
        match self {
            Pair::Both(size) => [size; 2],
            Pair::Each(sizes) => sizes,
        }
    }
}

/// Zeros around an image.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged, expecting = "'corner', 'same', an int or a pair of them")]
enum Zeros {
    Adaptive(Place),
    Known(Pair),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Place {
    Corner,
    Same,
}

/// `patch_cfg`: what the patches are otherwise than the network says.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PatchCfg {
    kernel_size: Option<Pair>,
    stride: Option<Pair>,
    padding: Option<Zeros>,
    dilation: Option<Pair>,
    bias: Option<bool>,
    /// None where the key is left out.
    #[serde(deserialize_with = "given")]
    norm_cfg: Option<Option<LayerNormCfg>>,
}

/// What a key that is there says, even if that is None.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl PatchCfg {
    /// The same with this norm layer where the key is left out.
    pub fn normed(mut self, norm: LayerNormCfg) -> Self {
        self.norm_cfg.get_or_insert(Some(norm));
        self
    }
}

/// mmcv's `PatchEmbed`: a convolution, `projection`, whose places become tokens, row by row; then `norm`.
#[derive(Debug, Clone)]
pub(crate) struct PatchEmbed {
    /// Rows and columns of patches.
    pub places: [usize; 2],
    channels: [usize; 2],
    kernel: [usize; 2],
    conv: Conv,
    bias: bool,
    norm: Option<LayerNormCfg>,
}

impl PatchEmbed {
    /// Patches of `size` of images with sides `image`, from and to so many `channels`, changed as `cfg` says.
    ///
    /// # Errors
    /// A size is 0.
    pub fn new(
        channels: [usize; 2],
        size: [usize; 2],
        image: [usize; 2],
        bias: bool,
        cfg: &PatchCfg,
    ) -> Result<Self> {
        let kernel = cfg.kernel_size.map_or(size, Pair::sizes);
        let stride = cfg.stride.map_or(size, Pair::sizes);
        let dilation = cfg.dilation.map_or([1, 1], Pair::sizes);
        if [kernel, stride, dilation, image, channels].iter().flatten().any(|&d| d == 0) {
            return refuse("sizes of images and patches, in_channels and embed_dims must be at least 1");
        }
        let padding = match cfg.padding.unwrap_or(Zeros::Adaptive(Place::Corner)) {
            Zeros::Known(pair) => pair.sizes().map(|zeros| (zeros, zeros)),
            Zeros::Adaptive(place) => {
                let pad = AdaptivePad { kernel, stride, dilation, corner: place == Place::Corner };
                [pad.padding(0, image[0])?, pad.padding(1, image[1])?]
            }
        };
        let conv = Conv { stride, padding, dilation, groups: 1 };
        let facts = [
            &Fact::f32([&[1, channels[0]], &image[..]].concat()),
            &Fact::f32([&[channels[1], channels[0]], &kernel[..]].concat()),
        ];
        let out = conv.infer(&facts)?;
        let places = match out.first().and_then(Fact::known_shape).as_deref() {
            Some(&[_, _, rows, columns]) => [rows, columns],
            _ => return refuse("images have no room for a patch"),
        };
        Ok(Self {
            places,
            channels,
            kernel,
            conv,
            bias: cfg.bias.unwrap_or(bias),
            norm: cfg.norm_cfg.clone().flatten(),
        })
    }

    /// Adds the module `patch_embed`: images `[N, C, H, W]` of the sides become tokens `[N, L, C]`.
    ///
    /// # Errors
    /// The images have not the channels.
    pub fn build(&self, net: &mut Net, x: ValueId) -> Result<ValueId> {
        net.layer("patch_embed", &[x], |net| {
            let y = net.layer("projection", &[x], |net| {
                let ([from, to], [kh, kw]) = (self.channels, self.kernel);
                let init = torch_default(from.saturating_mul(kh).saturating_mul(kw));
                let mut inputs = vec![x, net.parameter("weight", &[to, from, kh, kw], Role::Weight, init)?];
                if self.bias {
                    inputs.push(net.parameter("bias", &[to], Role::Weight, init)?);
                }
                net.note_layer(&["Conv2d", "_ConvNd"], &[to, from, kh, kw], self.bias);
                Ok(net.this(self.conv, &inputs)?)
            })?;
            let y = net.op("flatten", Flatten { axis: 2 }, &[y])?;
            let y = net.op("tokens", Transpose { perm: vec![0, 2, 1] }, &[y])?;
            match &self.norm {
                Some(norm) => norm.build(net, "norm", y),
                None => Ok(y),
            }
        })
    }
}
