//! The few instructions that the frame around a test is made of, encoded from the
//! manual's formats, not from the decode table: the frame must not share its errors.

/// Integer registers used by the frame.
pub(crate) const ZERO: u32 = 0;
pub(crate) const RA: u32 = 1;
pub(crate) const GP: u32 = 3;
pub(crate) const T0: u32 = 5;
pub(crate) const T1: u32 = 6;
pub(crate) const T2: u32 = 7;
pub(crate) const A0: u32 = 10;
pub(crate) const A1: u32 = 11;
pub(crate) const A2: u32 = 12;
pub(crate) const A3: u32 = 13;
pub(crate) const A7: u32 = 17;
pub(crate) const T3: u32 = 28;
pub(crate) const T4: u32 = 29;
pub(crate) const T5: u32 = 30;

/// Code under construction.
pub(crate) struct Asm {
    base: u64,
    pub(crate) code: Vec<u8>,
}

impl Asm {
    pub(crate) fn new(base: u64) -> Self {
        Self {
            base,
            code: Vec::new(),
        }
    }

    /// The address of what comes next.
    pub(crate) fn here(&self) -> u64 {
        self.base + self.code.len() as u64
    }

    pub(crate) fn word(&mut self, raw: u32) {
        self.code.extend(raw.to_le_bytes());
    }

    fn i(&mut self, opcode: u32, funct3: u32, rd: u32, rs1: u32, imm: i32) {
        assert!(
            (-2048..2048).contains(&imm),
            "{imm} needs more than 12 bits"
        );
        self.word((imm as u32) << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | opcode);
    }

    fn s(&mut self, opcode: u32, funct3: u32, rs2: u32, rs1: u32, imm: i32) {
        assert!(
            (-2048..2048).contains(&imm),
            "{imm} needs more than 12 bits"
        );
        let (high, low) = ((imm as u32) >> 5 & 0x7f, imm as u32 & 31);
        self.word(high << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 | low << 7 | opcode);
    }

    pub(crate) fn addi(&mut self, rd: u32, rs1: u32, imm: i32) {
        self.i(0x13, 0, rd, rs1, imm);
    }
    pub(crate) fn andi(&mut self, rd: u32, rs1: u32, imm: i32) {
        self.i(0x13, 7, rd, rs1, imm);
    }
    pub(crate) fn sltiu(&mut self, rd: u32, rs1: u32, imm: i32) {
        self.i(0x13, 3, rd, rs1, imm);
    }
    pub(crate) fn slli(&mut self, rd: u32, rs1: u32, by: i32) {
        self.i(0x13, 1, rd, rs1, by);
    }
    pub(crate) fn add(&mut self, rd: u32, rs1: u32, rs2: u32) {
        self.word(rs2 << 20 | rs1 << 15 | rd << 7 | 0x33);
    }
    pub(crate) fn sub(&mut self, rd: u32, rs1: u32, rs2: u32) {
        self.word(0x20 << 25 | rs2 << 20 | rs1 << 15 | rd << 7 | 0x33);
    }
    pub(crate) fn ld(&mut self, rd: u32, rs1: u32, imm: i32) {
        self.i(0x03, 3, rd, rs1, imm);
    }
    pub(crate) fn lhu(&mut self, rd: u32, rs1: u32, imm: i32) {
        self.i(0x03, 5, rd, rs1, imm);
    }
    pub(crate) fn sd(&mut self, rs2: u32, rs1: u32, imm: i32) {
        self.s(0x23, 3, rs2, rs1, imm);
    }
    pub(crate) fn fld(&mut self, frd: u32, rs1: u32, imm: i32) {
        self.i(0x07, 3, frd, rs1, imm);
    }
    pub(crate) fn fsd(&mut self, frs2: u32, rs1: u32, imm: i32) {
        self.s(0x27, 3, frs2, rs1, imm);
    }
    /// `jalr zero, 0(rs1)`
    pub(crate) fn jr(&mut self, rs1: u32) {
        self.i(0x67, 0, ZERO, rs1, 0);
    }
    pub(crate) fn ecall(&mut self) {
        self.word(0x73);
    }
    /// `csrrw zero, fcsr, rs1`
    pub(crate) fn write_fcsr(&mut self, rs1: u32) {
        self.word(3 << 20 | rs1 << 15 | 1 << 12 | 0x73);
    }
    /// `csrrs rd, fcsr, zero`
    pub(crate) fn read_fcsr(&mut self, rd: u32) {
        self.word(3 << 20 | 2 << 12 | rd << 7 | 0x73);
    }
    /// `sc.d zero, zero, (rs1)`: whatever was reserved is no longer.
    pub(crate) fn drop_reservation(&mut self, rs1: u32) {
        self.word(0x03 << 27 | rs1 << 15 | 3 << 12 | 0x2f);
    }

    /// `auipc` and `addi`: an address within 2 GiB.
    pub(crate) fn la(&mut self, rd: u32, address: u64) {
        let distance = address.wrapping_sub(self.here()) as i64;
        let low = (distance << 52 >> 52) as i32;
        let high = (distance - i64::from(low)) as u32;
        self.word(high & 0xffff_f000 | rd << 7 | 0x17);
        self.addi(rd, rd, low);
    }

    /// `jal zero, address`
    pub(crate) fn j(&mut self, address: u64) {
        let d = address.wrapping_sub(self.here()) as i64;
        assert!(
            (-(1 << 20)..1 << 20).contains(&d),
            "{d} is out of a jump's reach"
        );
        let d = d as u32;
        let high = (d >> 20 & 1) << 31 | (d >> 1 & 0x3ff) << 21;
        self.word(high | (d >> 11 & 1) << 20 | (d >> 12 & 0xff) << 12 | 0x6f);
    }

    /// `bltu` or `bne` over the next `words` words.
    pub(crate) fn skip_if_less(&mut self, rs1: u32, rs2: u32, words: u32) {
        let d = 4 * (words + 1);
        self.word((d >> 5) << 25 | rs2 << 20 | rs1 << 15 | 6 << 12 | (d >> 1 & 15) << 8 | 0x63);
    }
}
